import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { pg_trgm } from "@electric-sql/pglite/contrib/pg_trgm";
import { Kysely } from "kysely";
import { CallerWatch } from "./caller-watch.ts";
import type { DatabaseConfig } from "./config.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import type { OpenDatabase } from "./database.ts";
import { DiskSpace } from "./disk-space.ts";
import { int8Oid } from "./int8.ts";
import type { Logger } from "./logger.ts";
import { createPgliteDialect } from "./pglite-dialect.ts";
import { keepToOwner, makePrivateFolder } from "./private-files.ts";
import type { ObserveQuery } from "./query-observer.ts";
import { Turns } from "./turns.ts";

/**
 * PGlite's own, and less memory than Postgres's default of 128 MB: it is cleared at each start, which takes a
 * tenth of a second, and stays with the process. What does not fit, the system's file cache holds.
 */
const startParams = [...PGlite.defaultStartParams, "-c", "shared_buffers=32MB"];

/**
 * Starts the embedded database in a folder. What it keeps there is for this user alone, also where that has been
 * different: PGlite's files are for everybody, and only their folder keeps others out.
 *
 * @throws DataDirLockedError where another process has it open
 */
export async function openEmbedded<Schema>(
  { dataDir, maxWaiting }: Omit<DatabaseConfig & { readonly kind: "embedded" }, "kind">,
  logger: Pick<Logger, "warn">,
  observeQuery?: ObserveQuery,
): Promise<OpenDatabase<Schema>> {
  const lock = await lockDataDir(dataDir);
  try {
    const folder = join(dataDir, "pglite");
    await makePrivateFolder(folder);
    await keepToOwner(folder, logger);
    const pglite = await PGlite.create(folder, {
      parsers: { [int8Oid]: BigInt },
      extensions: { pg_trgm },
      startParams,
    });
    const turns = new Turns({ turns: 1, maxWaiting }, new CallerWatch());
    const queries = new Kysely<Schema>({
      dialect: createPgliteDialect(pglite, turns, new DiskSpace(folder, logger), observeQuery),
    });
    return {
      queries,
      description: `embedded (PGlite in ${dataDir})`,
      lock,
      pool: {
        max: 1,
        size: 1,
        get idle() {
          return turns.free;
        },
        get waiting() {
          return turns.waiting;
        },
      },
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
