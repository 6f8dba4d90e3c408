import { Command } from "commander";
import { openDatabase } from "../platform/database.ts";
import { createLogger } from "../platform/logger.ts";
import { migrate } from "../platform/migrator.ts";
import { readConfig } from "../platform/read-config.ts";
import type { Schema } from "../schema.ts";

/** `user-bridge migrate`: brings the schema up to date and says what it did. */
export function migrateCommand(variables: NodeJS.ProcessEnv): Command {
  return new Command("migrate")
    .description("bring the database's schema up to date and exit")
    .addHelpText(
      "after",
      "\nThe database is the one that serve would use: DATABASE_URL, else the embedded one in DATA_DIR.",
    )
    .action(async () => {
      const config = readConfig(variables, "command");
      const logger = createLogger(config);
      const database = await openDatabase<Schema>(config.database, logger);
      try {
        const applied = await migrate(database.queries, logger);
        const what =
          applied.length === 0 ? "is up to date" : `was brought up to date by ${applied.join(", ")}`;
        process.stdout.write(`the schema of ${database.description} ${what}\n`);
      } finally {
        await database.close();
      }
    });
}
