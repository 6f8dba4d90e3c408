import type { ConnectionConfig } from "../../platform/config.ts";

/** What a port has that was given no settings: the same as without any in the environment. */
export const defaultConnectionConfig: ConnectionConfig = {
  maxConnections: 20_000,
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  keepaliveIntervalMs: 75_000,
  keepaliveTimeoutMs: 20_000,
};
