import type { Kysely } from "kysely";
import type { DatabaseConfig } from "./config.ts";
import type { DataDirLock } from "./data-dir-lock.ts";
import type { Logger } from "./logger.ts";
import type { ObserveQuery } from "./query-observer.ts";

/** Connections to a database, as they are at the moment of asking. The embedded one has one session. */
export interface PoolState {
  readonly max: number;
  /** How many there are. */
  readonly size: number;
  /** How many of them nobody uses. */
  readonly idle: number;
  /** How many wait for one. */
  readonly waiting: number;
}

/** An open database: the query builder, and what the two kinds of database differ in. */
export interface OpenDatabase<Schema> {
  readonly queries: Kysely<Schema>;
  /** For people: which database this is, without its password. */
  readonly description: string;
  /** The lock of the embedded database's folder. */
  readonly lock?: DataDirLock;
  readonly pool: PoolState;
  close(): Promise<void>;
}

/**
 * Opens the database that the configuration names. 64-bit integers arrive as bigint from both.
 *
 * What is asked for a caller who has left is not sent, or cancelled; see docs/deadlines.md.
 *
 * PostgreSQL is connected to on first use, so it need not be there yet; the embedded database is started.
 *
 * @throws DataDirLockedError where another process has the embedded database open
 */
export async function openDatabase<Schema>(
  config: DatabaseConfig,
  logger: Logger,
  observeQuery?: ObserveQuery,
): Promise<OpenDatabase<Schema>> {
  // Imported only where it is wanted: a process has one database, and each driver takes its time to load.
  if (config.kind === "embedded") {
    const { openEmbedded } = await import("./embedded-database.ts");
    return openEmbedded<Schema>(config, logger, observeQuery);
  }
  const { openPostgres } = await import("./postgres-database.ts");
  return openPostgres<Schema>(config, logger, observeQuery);
}
