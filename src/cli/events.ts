import { Command } from "commander";
import type { UserEvent } from "../../gen/users/v1/users_pb.ts";
import type { Config } from "../platform/config.ts";
import { readConfig } from "../platform/read-config.ts";
import { describeCallFailure } from "./call-failure.ts";
import { formatEventJson, formatEventLine } from "./event-line.ts";
import { type FollowListener, followEvents, readEventsToHead } from "./event-reader.ts";
import { CommandError } from "./failure.ts";
import { createLineOutput } from "./line-output.ts";
import {
  addServerOptions,
  connectServer,
  credentialHelp,
  type ServerOptions,
  toServerUrl,
} from "./server-connection.ts";
import { listenForStop } from "./stop-request.ts";

const help = `
Prints one line an event: time, type, username, email, the user's id, revision and cursor. Without --follow it
prints what the log holds, from its beginning or behind --after, and ends; with --follow it goes on with what
happens, from now or behind --after, until Ctrl-C. While the server is away it tries to resume, and then goes on
behind the last event, so that each is printed once.

Environment: LISTEN and TLS_CERT as for serve, where --url does not say where the server is.
${credentialHelp} It needs the scope events:read.

Exit status: 0 at the end, at Ctrl-C and when nobody reads the output any more; 1 when the server cannot be reached
at the beginning, or refuses the cursor or the credential.

Example:
  $ user-bridge events --follow --json | jq -r .payload.email`;

interface EventsOptions extends ServerOptions {
  readonly follow?: true;
  readonly after?: string;
  readonly json?: true;
}

/** `user-bridge events`: prints the events of a running server. */
export function eventsCommand(variables: NodeJS.ProcessEnv): Command {
  const command = new Command("events")
    .description("print what happens to users, as a running server tells it")
    .option("-f, --follow", "go on until Ctrl-C, also after a restart of the server")
    .option("--after <cursor>", "begin behind this cursor")
    .option("--json", "print proto3 JSON, one UserEvent a line");
  return addServerOptions(command, "the server (default: where LISTEN says, http://127.0.0.1:8080)")
    .addHelpText("after", help)
    .action((options: EventsOptions) => printEvents(options, readConfig(variables, "command"), variables));
}

async function printEvents(
  options: EventsOptions,
  config: Config,
  variables: NodeJS.ProcessEnv,
): Promise<void> {
  const server = await connectServer(options.url ?? toServerUrl(config), options, config, variables);
  const output = createLineOutput(process.stdout);
  const stop = listenForStop();
  const signal = AbortSignal.any([stop.signal, output.closed]);
  const format = options.json === true ? formatEventJson : formatEventLine;
  const events: AsyncIterable<UserEvent> =
    options.follow === true
      ? followEvents(server.users, options.after, reportConnection(server.url), signal)
      : readEventsToHead(server.users, options.after, signal);
  try {
    for await (const event of events) {
      await output.write(format(event), signal);
    }
  } catch (error) {
    if (!signal.aborted) {
      throw new CommandError(describeCallFailure(server.url, error), { cause: error });
    }
  } finally {
    server.close();
    stop.ignore();
  }
}

function reportConnection(url: string): FollowListener {
  return {
    onLost: (error) =>
      void process.stderr.write(
        `user-bridge: the connection to ${url} was lost (${error.message}); trying to resume\n`,
      ),
    onResumed: () => void process.stderr.write("user-bridge: resumed behind the last event\n"),
  };
}
