import { type Logger as PinoLogger, pino } from "pino";
import pretty from "pino-pretty";
import type { Config } from "./config.ts";

/** The process's logger: one JSON object a line on standard error, or lines for people. */
export type Logger = PinoLogger;

/** Creates the logger that the configuration asks for. Standard output stays free for a command's own output. */
export function createLogger(config: Pick<Config, "logLevel" | "logFormat">): Logger {
  const stream =
    config.logFormat === "pretty"
      ? pretty({ destination: 2, sync: true, colorize: process.stderr.isTTY, ignore: "pid,hostname" })
      : pino.destination({ dest: 2, sync: true });
  return pino({ level: config.logLevel, base: null }, stream);
}
