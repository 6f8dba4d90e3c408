import { EventEmitter, once } from "node:events";
import { pino } from "pino";
import type { Logger } from "../../src/platform/logger.ts";
import { withDeadline } from "./with-deadline.ts";

/** What was logged. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A logger, and all that it has been told. */
export interface LogLines {
  readonly logger: Logger;
  readonly lines: readonly LogLine[];
  /** Waits for a line, which may be there already. */
  until(what: string, isIt: (line: LogLine) => boolean): Promise<LogLine>;
}

/** Creates the logger. */
export function createLogLines(): LogLines {
  const lines: LogLine[] = [];
  const written = new EventEmitter();
  const logger = pino(
    { level: "debug", base: null },
    {
      write(text: string) {
        lines.push(JSON.parse(text));
        written.emit("line");
      },
    },
  );
  return {
    logger,
    lines,
    async until(what, isIt) {
      for (;;) {
        const line = lines.find(isIt);
        if (line !== undefined) return line;
        await withDeadline(`the log to say ${what}`, once(written, "line"));
      }
    },
  };
}
