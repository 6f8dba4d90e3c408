import { createRequire } from "node:module";
import { type Logger as PinoLogger, pino, stdSerializers } from "pino";
import type { Config } from "./config.ts";

const require = createRequire(import.meta.url);

/** The process's logger: one JSON object a line on standard error, or lines for people. */
export type Logger = PinoLogger;

/** Creates the logger that the configuration asks for. Standard output stays free for a command's own output. */
export function createLogger(config: Pick<Config, "logLevel" | "logFormat">): Logger {
  const stream =
    config.logFormat === "pretty" ? createPrettyStream() : pino.destination({ dest: 2, sync: true });
  return pino({ level: config.logLevel, base: null, serializers: { err: describeError } }, stream);
}

function createPrettyStream() {
  // Loaded only where it is wanted: it brings some thirty modules along, and every start would wait for them.
  const pretty = require("pino-pretty") as typeof import("pino-pretty");
  return pretty({ destination: 2, sync: true, colorize: process.stderr.isTTY, ignore: "pid,hostname" });
}

/**
 * What is logged of an error: its text. Drivers hang a statement's parameters, whole rows and whole connections on
 * theirs, and those hold hashes.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  return { type, message, stack, ...("code" in error && { code: error.code }) };
}
