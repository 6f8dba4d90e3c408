import { createRequire } from "node:module";
import { type Logger as PinoLogger, pino } from "pino";
import type { Config } from "./config.ts";

const require = createRequire(import.meta.url);

/** The process's logger: one JSON object a line on standard error, or lines for people. */
export type Logger = PinoLogger;

/** Creates the logger that the configuration asks for. Standard output stays free for a command's own output. */
export function createLogger(config: Pick<Config, "logLevel" | "logFormat">): Logger {
  const stream =
    config.logFormat === "pretty" ? createPrettyStream() : pino.destination({ dest: 2, sync: true });
  return pino({ level: config.logLevel, base: null }, stream);
}

function createPrettyStream() {
  // Loaded only where it is wanted: it brings some thirty modules along, and every start would wait for them.
  const pretty = require("pino-pretty") as typeof import("pino-pretty");
  return pretty({ destination: 2, sync: true, colorize: process.stderr.isTTY, ignore: "pid,hostname" });
}
