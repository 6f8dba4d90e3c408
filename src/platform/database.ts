import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Kysely, PostgresDialect } from "kysely";
import { Pool, TypeOverrides } from "pg";
import type { DatabaseConfig } from "./config.ts";
import { type DataDirLock, lockDataDir } from "./data-dir-lock.ts";
import type { Logger } from "./logger.ts";
import { createPgliteDialect } from "./pglite-dialect.ts";

/** An open database: the query builder, and what the two kinds of database differ in. */
export interface OpenDatabase<Schema> {
  readonly queries: Kysely<Schema>;
  /** For people: which database this is, without its password. */
  readonly description: string;
  /** The lock of the embedded database's folder. */
  readonly lock?: DataDirLock;
  close(): Promise<void>;
}

/** Postgres's object id of the type int8. */
const int8Oid = 20;

/** How long a connection to PostgreSQL may take before the call that wants it fails. */
const connectTimeoutMs = 5_000;

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
  return config.kind === "embedded"
    ? openEmbedded<Schema>(config.dataDir)
    : openPostgres<Schema>(config.url, config.poolSize, logger);
}

async function openEmbedded<Schema>(dataDir: string): Promise<OpenDatabase<Schema>> {
  const lock = await lockDataDir(dataDir);
  try {
    const pglite = await PGlite.create(join(dataDir, "pglite"), { parsers: { [int8Oid]: BigInt } });
    const queries = new Kysely<Schema>({ dialect: createPgliteDialect(pglite) });
    return {
      queries,
      description: `embedded (PGlite in ${dataDir})`,
      lock,
      close: async () => {
        await queries.destroy();
        // A Kysely that ran no query has not opened its driver and would leave the database open.
        if (!pglite.closed) {
          await pglite.close();
        }
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function openPostgres<Schema>(url: string, poolSize: number, logger: Logger): OpenDatabase<Schema> {
  const types = new TypeOverrides();
  types.setTypeParser(int8Oid, BigInt);
  const pool = new Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: "user-bridge",
    types,
  });
  // A connection that breaks has told the query it was running; one that is idle has no query to tell. Either
  // way it also raises an event, which would end the process if nobody listened.
  pool.on("connect", (client) => client.on("error", () => {}));
  pool.on("error", (error) => logger.warn({ err: error }, "an idle database connection broke"));
  const queries = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return {
    queries,
    description: describePostgres(url),
    close: async () => {
      await queries.destroy();
      if (!pool.ended) {
        await pool.end();
      }
    },
  };
}

function describePostgres(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `PostgreSQL ${pathname.slice(1) || "(default)"} at ${hostname || "the default socket"}:${port || 5432}`;
}
