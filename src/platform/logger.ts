import { type Logger as PinoLogger, pino, stdSerializers } from "pino";
import type { Config } from "./config.ts";
import { cleanJsonLine } from "./log-line.ts";
import { openStandardError } from "./log-output.ts";
import { prettyLine } from "./pretty-line.ts";

/** The process's logger: one JSON object a line on standard error, or lines for people. No line holds a secret. */
export type Logger = PinoLogger;

/** Creates the logger that the configuration asks for. Standard output stays free for a command's own output. */
export function createLogger(config: Pick<Config, "logLevel" | "logFormat">): Logger {
  const output = openStandardError();
  const format = config.logFormat === "pretty" ? createPrettyFormat() : cleanJsonLine;
  const tellDropped = (lines: number): void =>
    logger.warn({ lines }, "standard error was not read: lines of the log were dropped");
  const logger: Logger = createFormattedLogger(config.logLevel, format, (line) =>
    output.write(line, tellDropped),
  );
  return logger;
}

/** Creates a logger that gives each line, in its final form, to `write`. */
export function createFormattedLogger(
  level: Config["logLevel"],
  format: (jsonLine: string) => string,
  write: (line: string) => void,
): Logger {
  return pino(
    { level, base: null, serializers: { err: describeError } },
    { write: (line: string) => write(format(line)) },
  );
}

/** With colours on a terminal that has them, unless NO_COLOR is set: Node looks. */
function createPrettyFormat(): (jsonLine: string) => string {
  const isColourful = process.stderr.isTTY === true && process.stderr.hasColors();
  return (line) => prettyLine(line, isColourful);
}

/** Messages quote what was sent, which may be megabytes; a stack begins with its message, and has ten frames a cause. */
const [maxMessageLength, maxStackLength] = [2_000, 6_000];

/**
 * What is logged of an error: its text. Drivers hang a statement's parameters, whole rows and whole connections on
 * theirs, and those hold hashes.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  return {
    type,
    message: shorten(message, maxMessageLength),
    stack: shorten(stack, maxMessageLength + maxStackLength),
    ...("code" in error && { code: error.code }),
  };
}

function shorten(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength).toWellFormed()}…`;
}
