import type { Kysely } from "kysely";
import type { DatabaseConfig } from "./config.ts";
import type { DataDirLock } from "./data-dir-lock.ts";
import type { Logger } from "./logger.ts";

/** An open database: the query builder, and what the two kinds of database differ in. */
export interface OpenDatabase<Schema> {
  readonly queries: Kysely<Schema>;
  /** For people: which database this is, without its password. */
  readonly description: string;
  /** The lock of the embedded database's folder. */
  readonly lock?: DataDirLock;
  close(): Promise<void>;
}

/**
 * Opens the database that the configuration names. 64-bit integers arrive as bigint from both.
 *
 * PostgreSQL is connected to on first use, so it need not be there yet; the embedded database is started.
 *
 * @throws DataDirLockedError where another process has the embedded database open
 */
export async function openDatabase<Schema>(
  config: DatabaseConfig,
  logger: Logger,
): Promise<OpenDatabase<Schema>> {
  // Imported only where it is wanted: a process has one database, and each driver takes its time to load.
  if (config.kind === "embedded") {
    const { openEmbedded } = await import("./embedded-database.ts");
    return openEmbedded<Schema>(config.dataDir, logger);
  }
  const { openPostgres } = await import("./postgres-database.ts");
  return openPostgres<Schema>(config.url, config.poolSize, logger);
}
