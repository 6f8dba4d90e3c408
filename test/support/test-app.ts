import assert from "node:assert/strict";
import { after, before } from "node:test";
import { type App, startApp } from "../../src/app.ts";
import type { Config } from "../../src/platform/config.ts";
import { createLogger } from "../../src/platform/logger.ts";
import { readConfig } from "../../src/platform/read-config.ts";
import type { Database } from "../../src/schema.ts";
import { createSuperuser, logIn, onDatabase, type TestAccount } from "./credentials.ts";
import { type Backend, testKeyEncryptionKey } from "./databases.ts";

/** A program that asks who calls. */
export interface GuardedApp<Prepared> extends App {
  /** May everything. */
  readonly superuser: TestAccount;
  /** The superuser's access token; empty where the program does not mount auth. */
  readonly token: string;
  /** Fields of a request's header for the superuser. */
  readonly headers: Readonly<Record<string, string>>;
  /** What `prepare` has made. */
  readonly prepared: Prepared;
}

/**
 * Starts the whole program in this process, on a port of its own and a database of its own, and ends both
 * after the test whose `after` is given.
 */
export async function startTestApp(
  onEnd: (cleanUp: () => Promise<void>) => void,
  backend: Backend,
  overrides: Partial<Config> = {},
): Promise<App> {
  const database = await backend.create();
  const config = testConfig({ database: database.config, ...overrides });
  const app = await startApp(config, createLogger(config));
  onEnd(async () => {
    await app.close();
    await database.drop();
  });
  return app;
}

/**
 * The same for all tests of the suite in whose body it is called. (`after` inside a `before` hook would belong
 * to the hook and end the program before the first test.)
 */
export function useTestApp(backend: Backend, overrides: Partial<Config> = {}): Pick<App, "url"> {
  let app: App | undefined;
  const cleanUps: (() => Promise<void>)[] = [];
  before(async () => {
    app = await startTestApp((cleanUp) => void cleanUps.push(cleanUp), backend, overrides);
  });
  after(async () => {
    for (const cleanUp of cleanUps) await cleanUp();
  });
  return {
    get url() {
      assert.ok(app, "the suite's program has not started");
      return app.url;
    },
  };
}

/**
 * Starts the whole program with AUTH=on and one superuser, otherwise as {@link startTestApp} does.
 *
 * @param prepare makes further credentials on the database, before the program has it
 */
export async function startGuardedApp<Prepared = undefined>(
  onEnd: (cleanUp: () => Promise<void>) => void,
  backend: Backend,
  overrides: Partial<Config> = {},
  prepare?: (database: Database) => Promise<Prepared>,
): Promise<GuardedApp<Prepared>> {
  const database = await backend.create();
  const { superuser, prepared } = await onDatabase(database.config, async (queries) => ({
    superuser: await createSuperuser(queries),
    prepared: (await prepare?.(queries)) as Prepared,
  }));
  const config = testConfig({ database: database.config, auth: "on", reflection: true, ...overrides });
  const app = await startApp(config, createLogger(config));
  onEnd(async () => {
    await app.close();
    await database.drop();
  });
  const token = config.services.has("auth") ? await logIn(app.url, superuser) : "";
  return { ...app, superuser, token, headers: { authorization: `Bearer ${token}` }, prepared };
}

/** The default configuration, on a free port, quiet, and quick to end. */
export function testConfig(overrides: Partial<Config>): Config {
  const variables = {
    LISTEN: "127.0.0.1:0",
    INTERNAL_LISTEN: "127.0.0.1:0",
    LOG_LEVEL: process.env["TEST_LOG_LEVEL"] ?? "silent",
    DRAIN_TIMEOUT: "2s",
    // The test's own work, in the same event loop, would be taken for load.
    MAX_EVENT_LOOP_DELAY: "off",
    // Hashes that are cheap.
    PASSWORD_MEMORY: "1MiB",
    PASSWORD_ITERATIONS: "1",
    KEY_ENCRYPTION_KEY: testKeyEncryptionKey,
  };
  return { ...readConfig(variables, "serve"), ...overrides };
}
