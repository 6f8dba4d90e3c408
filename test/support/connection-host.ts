import type { TestContext } from "node:test";
import type { ConnectRouter } from "@connectrpc/connect";
import type { ConnectionConfig } from "../../src/platform/config.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type Host, type HostConfig, openHost } from "../../src/server/host.ts";
import type { HttpDocument } from "../../src/server/http-document.ts";
import { createTlsFiles, selfSign } from "./certificates.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { createLogLines, type LogLines } from "./log-lines.ts";
import { testConfig } from "./test-app.ts";

/** The program's own host, whose timers are short. */
export interface ConnectionHost extends Host {
  readonly log: LogLines;
}

/** What it differs in. */
export interface ConnectionHostOptions extends Partial<Omit<HostConfig, "connections" | "tls">> {
  readonly connections?: Partial<ConnectionConfig>;
  readonly tls?: boolean;
  readonly routes?: (router: ConnectRouter) => void;
  readonly documents?: readonly HttpDocument[];
}

/** So long that no timer is over by itself before a test ends. */
const never: ConnectionConfig = {
  maxConnections: 1_000,
  headerTimeoutMs: 600_000,
  bodyTimeoutMs: 600_000,
  keepaliveIntervalMs: 600_000,
  keepaliveTimeoutMs: 600_000,
};

/** Opens it, until the test ends. Only the timers that are named are short. */
export async function openConnectionHost(
  t: TestContext,
  { connections, tls = false, routes = () => {}, documents = [], ...config }: ConnectionHostOptions,
): Promise<ConnectionHost> {
  const log = createLogLines();
  const files = tls
    ? await createTlsFiles(t, await selfSign({ commonName: "server", purpose: "server" }))
    : undefined;
  const host = await openHost({
    config: {
      ...testConfig({}),
      drainTimeoutMs: 100,
      ...config,
      connections: { ...never, ...connections },
      ...(files && {
        tls: { certPath: files.certPath, keyPath: files.keyPath, clientSpkiPins: [], clientAuth: "off" },
      }),
    },
    logger: log.logger,
    routes,
    health: createHealthStatus([]),
    documents,
  });
  cleanUpAfter(t, host.close);
  return { ...host, log };
}

/** Waits until a condition holds that nothing tells of. */
export async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const endsAt = Date.now() + 30_000;
  while (!isSo()) {
    if (Date.now() > endsAt) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
