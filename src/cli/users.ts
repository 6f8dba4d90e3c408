import { Command, Option } from "commander";
import { createPasswordHasher } from "../auth/password-hasher.ts";
import type { Config } from "../platform/config.ts";
import { DataDirLockedError } from "../platform/data-dir-lock.ts";
import { DomainError } from "../platform/errors.ts";
import { createLogger } from "../platform/logger.ts";
import { readConfig } from "../platform/read-config.ts";
import { commandCaller } from "../writes/command-caller.ts";
import { type AccountDatabase, openAccountDatabase } from "./account-database.ts";
import { CommandError } from "./failure.ts";
import { readPassword } from "./read-password.ts";

const help = `
The password, 8 to 1,024 bytes, is asked for on a terminal and otherwise the first line of standard input. It is never
an argument: others on this machine see the arguments of all processes, and shells write them to a file.

The account goes straight into the database that serve would use: DATABASE_URL, else the embedded one in DATA_DIR,
which no running server may have open. The id of the new account is printed.

Environment: DATABASE_URL, DATA_DIR, MIGRATE and the PASSWORD_ variables as for serve.

Exit status: 0 when the account was created, 1 when it was not.

Example:
  $ user-bridge users create --email ada@example.com --superuser < password.txt`;

interface CreateOptions {
  readonly email: string;
  readonly fullName: string;
  readonly superuser?: true;
  readonly inactive?: true;
  readonly password?: string | true;
}

/** `user-bridge users`: accounts, without a server. */
export function usersCommand(variables: NodeJS.ProcessEnv): Command {
  const create = new Command("create")
    .description("create an account, such as the first, which can then create others over the API")
    .requiredOption("--email <email>", "what the account logs in with")
    .option("--full-name <name>", "for people", "")
    .option("--superuser", "with every permission")
    .option("--inactive", "cannot log in until it is activated")
    .addOption(new Option("--password [text]").hideHelp())
    .addHelpText("after", help)
    .action((options: CreateOptions) => createAccount(options, readConfig(variables, "command")));
  return new Command("users").description("create accounts in the database").addCommand(create);
}

async function createAccount(options: CreateOptions, config: Config): Promise<void> {
  if (options.password !== undefined) {
    throw new CommandError(
      "a password is never an argument: others on this machine see the arguments of all processes, and shells " +
        "write them to a file. Leave --password out to be asked for it, or give it on standard input",
    );
  }
  const database = await open(config);
  try {
    const password = await readPassword(process.stdin);
    const passwordHash = await createPasswordHasher(config.passwords).hash(password);
    const account = await database.accounts.create(
      {
        email: options.email,
        fullName: options.fullName,
        isActive: options.inactive !== true,
        isSuperuser: options.superuser === true,
        passwordHash,
      },
      commandCaller("users create", ({ id }) => id),
    );
    process.stdout.write(`${account.id}\n`);
  } catch (error) {
    throw error instanceof DomainError ? new CommandError(error.message, { cause: error }) : error;
  } finally {
    await database.close();
  }
}

async function open(config: Config): Promise<AccountDatabase> {
  try {
    return await openAccountDatabase(config, createLogger(config));
  } catch (error) {
    throw error instanceof DataDirLockedError
      ? new CommandError(
          `${error.message}. A server that runs can create the account itself: auth.AuthService/CreateUser`,
          { cause: error },
        )
      : error;
  }
}
