import { Command } from "commander";
import { startApp } from "../app.ts";
import { createLogger, type Logger } from "../platform/logger.ts";
import { readConfig } from "../platform/read-config.ts";
import { describeStart } from "./start-message.ts";

/**
 * A terminal sends Ctrl-C to npm and to us, and npm hands it on: two signals for one key stroke. A person's
 * second Ctrl-C comes later than this.
 */
const keyStrokeMs = 300;

/** `user-bridge serve`: runs until SIGTERM or SIGINT. */
export function serveCommand(variables: NodeJS.ProcessEnv): Command {
  return new Command("serve")
    .description("serve until SIGTERM or SIGINT; a second signal ends at once")
    .addHelpText("after", "\nEverything is configured by the environment: .env.example lists it all.")
    .action(async () => {
      const config = readConfig(variables, "serve");
      const logger = createLogger(config);
      const stop = stopSignal(logger);
      const app = await startApp(config, logger);
      process.stdout.write(describeStart(app, config));
      await stop;
      await app.close();
      // Whatever a library left open must not keep the process: everything that matters is closed.
      process.exit(0);
    });
}

/** Resolves at the first SIGTERM or SIGINT; at the second, ends the process with the signal's status. */
function stopSignal(logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    function onSignal(signal: NodeJS.Signals, number: number): void {
      if (firstAt === undefined) {
        firstAt = performance.now();
        logger.info({ signal }, "stopping; a second signal ends at once");
        resolve();
      } else if (signal !== "SIGINT" || performance.now() - firstAt > keyStrokeMs) {
        process.exit(128 + number);
      }
    }
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}
