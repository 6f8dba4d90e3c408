import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Kysely } from "kysely";
import { lockDataDir } from "./data-dir-lock.ts";
import type { OpenDatabase } from "./database.ts";
import { int8Oid } from "./int8.ts";
import { createPgliteDialect } from "./pglite-dialect.ts";

/**
 * Starts the embedded database in a folder.
 *
 * @throws DataDirLockedError where another process has it open
 */
export async function openEmbedded<Schema>(dataDir: string): Promise<OpenDatabase<Schema>> {
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
