import { Command } from "commander";
import { reportFailure } from "./failure.ts";

type CreateCommand = (variables: NodeJS.ProcessEnv) => Command;

/** Each command's module is imported only where it is needed: a server needs no CSV reader. */
const commands: Readonly<Record<string, () => Promise<CreateCommand>>> = {
  serve: async () => (await import("./serve.ts")).serveCommand,
  migrate: async () => (await import("./migrate.ts")).migrateCommand,
  events: async () => (await import("./events.ts")).eventsCommand,
  import: async () => (await import("./import.ts")).importCommand,
  users: async () => (await import("./users.ts")).usersCommand,
  keys: async () => (await import("./keys.ts")).keysCommand,
  tokens: async () => (await import("./tokens.ts")).tokensCommand,
  "api-keys": async () => (await import("./api-keys.ts")).apiKeysCommand,
};

/**
 * Runs the command that the arguments name, as `process.argv` has them. What it fails with is said on standard
 * error and sets the exit status.
 */
export async function runProgram(argv: readonly string[], variables: NodeJS.ProcessEnv): Promise<void> {
  const program = new Command("user-bridge")
    .description(
      "Users and their live events over gRPC, gRPC-Web and Connect, on one port in front of Postgres",
    )
    .showHelpAfterError("(--help says more)");
  const named = commands[argv[2] ?? ""];
  for (const load of named === undefined ? Object.values(commands) : [named]) {
    program.addCommand((await load())(variables));
  }
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    reportFailure(error);
  }
}
