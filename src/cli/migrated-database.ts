import type { Config } from "../platform/config.ts";
import { type OpenDatabase, openDatabase } from "../platform/database.ts";
import type { Logger } from "../platform/logger.ts";
import { migrate, requireCurrentSchema } from "../platform/migrator.ts";
import type { Schema } from "../schema.ts";

/**
 * Opens the database that `serve` would use, after bringing its schema up to date as that does.
 *
 * @throws DataDirLockedError, SchemaError, the database's error
 */
export async function openMigratedDatabase(config: Config, logger: Logger): Promise<OpenDatabase<Schema>> {
  const database = await openDatabase<Schema>(config.database, logger);
  try {
    if (config.migrate === "on") {
      await migrate(database.queries, logger);
    } else {
      await requireCurrentSchema(database.queries);
    }
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}
