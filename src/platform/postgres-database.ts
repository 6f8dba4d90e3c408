import { Kysely, PostgresDialect } from "kysely";
import { Pool, TypeOverrides } from "pg";
import { CallerWatch } from "./caller-watch.ts";
import type { DatabaseConfig } from "./config.ts";
import type { OpenDatabase } from "./database.ts";
import { int8Oid } from "./int8.ts";
import type { Logger } from "./logger.ts";
import type { ObserveQuery } from "./query-observer.ts";
import { Turns } from "./turns.ts";
import { createWatchedPool } from "./watched-pool.ts";

/** How long a connection to PostgreSQL may take, or one of the pool's may let wait, before the call that wants it fails. */
const connectTimeoutMs = 5_000;

/** Opens a pool of connections to a PostgreSQL server. Each is made on first use. */
export function openPostgres<Schema>(
  { url, poolSize, maxWaiting }: DatabaseConfig & { readonly kind: "postgres" },
  logger: Logger,
  observeQuery?: ObserveQuery,
): OpenDatabase<Schema> {
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
  const watch = new CallerWatch();
  const turns = new Turns({ turns: poolSize, maxWaiting, maxWaitMs: connectTimeoutMs }, watch);
  const watched = createWatchedPool(pool, { turns, watch, observeQuery });
  const queries = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: watched }) });
  return {
    queries,
    description: describePostgres(url),
    pool: {
      max: poolSize,
      get size() {
        return pool.totalCount;
      },
      get idle() {
        return pool.idleCount;
      },
      get waiting() {
        return turns.waiting;
      },
    },
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
