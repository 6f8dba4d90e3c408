import { Command } from "commander";
import type { Config } from "../platform/config.ts";
import { DataDirLockedError } from "../platform/data-dir-lock.ts";
import { createLogger } from "../platform/logger.ts";
import { readConfig } from "../platform/read-config.ts";
import { openDatabaseRegistrar } from "./database-registrar.ts";
import { openImportConsole } from "./import-console.ts";
import { type ImportFile, openImportFile } from "./import-file.ts";
import { type ImportProgress, runImport } from "./import-run.ts";
import type { Registrar } from "./registrar.ts";
import { addServerOptions, connectServer, credentialHelp, type ServerOptions } from "./server-connection.ts";
import { createServerRegistrar } from "./server-registrar.ts";
import { listenForStop, type StopRequest } from "./stop-request.ts";

const help = `
FILE.csv begins with a line that names its columns, email and username among them, in any order; other columns
are ignored. Each refused line is named on standard error, the others are registered. Users who are there already
with the same email and username are left alone, so the same file can be imported again, and after Ctrl-C, which
stops after the 500 lines at hand, or a failure, again means on from there.

Without --url the users go straight into the database that serve would use: DATABASE_URL, else the embedded one in
DATA_DIR. While a running server has the embedded one open, they go through that server instead.

Environment: DATABASE_URL, DATA_DIR and MIGRATE as for serve.
${credentialHelp} It needs the scopes users:write and users:read.

Exit status: 0 when no line was refused; 1 when one was, or the import failed; 130 or 143 when a signal stopped it.

Example:
  $ printf 'email,username\\nada@example.com,ada\\n' > users.csv
  $ user-bridge import users.csv
  1 added, 0 already present, 0 refused`;

/** `user-bridge import`: registers the users of a CSV file. */
export function importCommand(variables: NodeJS.ProcessEnv): Command {
  const command = new Command("import")
    .description("register the users of a CSV file with the columns email and username")
    .argument("<file.csv>", "the file, in UTF-8; - means standard input");
  return addServerOptions(command, "register through the server at this URL, not in the database")
    .addHelpText("after", help)
    .action((file: string, options: ServerOptions) =>
      importFile(file, options, readConfig(variables, "command"), variables),
    );
}

async function importFile(
  path: string,
  options: ServerOptions,
  config: Config,
  variables: NodeJS.ProcessEnv,
): Promise<void> {
  const stop = listenForStop();
  const file = await openImportFile(path, stop.signal);
  try {
    const registrar = await openRegistrar(options, config, variables);
    try {
      await importRows(file, registrar, stop);
    } finally {
      await registrar.close();
    }
  } finally {
    file.close();
  }
}

async function importRows(file: ImportFile, registrar: Registrar, stop: StopRequest): Promise<void> {
  const progress: ImportProgress = { added: 0, present: 0, refused: 0, doneLine: 0 };
  // What is said need not be read: a closed pipe must not end the import, whose exit status tells enough.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const screen = openImportConsole(process.stderr, file, progress);
  let isComplete = false;
  try {
    isComplete = await runImport({
      rows: file.rows,
      registrar,
      progress,
      onRefused: (row, reason) => screen.say(`${nameLines(row)}: ${reason}`),
      stop: stop.signal,
    });
  } finally {
    if (!isComplete) {
      screen.say(describeStop(progress));
    }
    screen.close();
    process.stdout.write(
      `${progress.added} added, ${progress.present} already present, ${progress.refused} refused\n`,
    );
  }
  process.exitCode = isComplete ? (progress.refused === 0 ? 0 : 1) : stop.exitStatus();
}

async function openRegistrar(
  options: ServerOptions,
  config: Config,
  variables: NodeJS.ProcessEnv,
): Promise<Registrar> {
  if (options.url !== undefined) {
    return createServerRegistrar(await connectServer(options.url, options, config, variables));
  }
  try {
    return await openDatabaseRegistrar(config, createLogger(config));
  } catch (error) {
    if (!(error instanceof DataDirLockedError) || error.holderUrl === undefined) {
      throw error;
    }
    process.stderr.write(
      `a running server has the embedded database open; registering through it at ${error.holderUrl}\n`,
    );
    return createServerRegistrar(await connectServer(error.holderUrl, options, config, variables));
  }
}

function nameLines({ firstLine, lastLine }: { firstLine: number; lastLine: number }): string {
  return firstLine === lastLine ? `line ${firstLine}` : `lines ${firstLine} to ${lastLine}`;
}

function describeStop({ doneLine }: ImportProgress): string {
  return doneLine === 0
    ? "stopped before any line was done"
    : `stopped after line ${doneLine}: all lines up to it are done; import the file again to go on`;
}
