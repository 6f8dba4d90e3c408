import { type App, startApp } from "../../src/app.ts";
import { type Config, readConfig } from "../../src/platform/config.ts";
import { createLogger } from "../../src/platform/logger.ts";
import type { Backend } from "./databases.ts";

/**
 * Starts the whole program in this process, on a port of its own and a database of its own, and ends both
 * after the test (or the suite whose `after` is given).
 */
export async function startTestApp(
  after: (cleanUp: () => Promise<void>) => void,
  backend: Backend,
  overrides: Partial<Config> = {},
): Promise<App> {
  const database = await backend.create();
  const config = testConfig({ database: database.config, ...overrides });
  const app = await startApp(config, createLogger(config));
  after(async () => {
    await app.close();
    await database.drop();
  });
  return app;
}

/** The default configuration, on a free port, quiet, and quick to end. */
export function testConfig(overrides: Partial<Config>): Config {
  const variables = {
    LISTEN: "127.0.0.1:0",
    LOG_LEVEL: process.env["TEST_LOG_LEVEL"] ?? "silent",
    DRAIN_TIMEOUT: "2s",
  };
  return { ...readConfig(variables, "serve"), ...overrides };
}
