import { Command } from "commander";
import { eventsCommand } from "./cli/events.ts";
import { reportFailure } from "./cli/failure.ts";
import { importCommand } from "./cli/import.ts";
import { migrateCommand } from "./cli/migrate.ts";
import { serveCommand } from "./cli/serve.ts";

const program = new Command("user-bridge")
  .description(
    "Users and their live events over gRPC, gRPC-Web and Connect, on one port in front of Postgres",
  )
  .addCommand(serveCommand(process.env))
  .addCommand(migrateCommand(process.env))
  .addCommand(eventsCommand(process.env))
  .addCommand(importCommand(process.env))
  .showHelpAfterError("(--help says more)");

try {
  await program.parseAsync();
} catch (error) {
  reportFailure(error);
}
