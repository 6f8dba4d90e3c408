import { styleText } from "node:util";
import { escapeControls, readJsonLine } from "./log-line.ts";

type Fields = Readonly<Record<string, unknown>>;
type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

/** pino's levels, by their numbers. */
const levels: Readonly<Record<number, readonly [name: string, style: Style]>> = {
  10: ["TRACE", "gray"],
  20: ["DEBUG", "gray"],
  30: ["INFO", "green"],
  40: ["WARN", "yellow"],
  50: ["ERROR", "red"],
  60: ["FATAL", "red"],
};

const inColours: Paint = (style, text) => styleText(style, text, { validateStream: false });
const plain: Paint = (_style, text) => text;

/**
 * A line of the log for people: when, how grave, what, and then the fields by their names. Nothing in it begins a line
 * of its own at the margin, or does anything to a terminal, whatever callers have sent.
 *
 * @param line of JSON, as pino writes it
 */
export function prettyLine(line: string, isColourful: boolean): string {
  const paint = isColourful ? inColours : plain;
  const { level, time, msg, err, ...fields } = readJsonLine(line);
  const [name, style] = levels[Number(level)] ?? ["?", "gray"];
  const text =
    msg === "call" && err === undefined ? describeCall(fields, paint) : describe(msg, fields, paint);
  const head = `${paint("gray", timeOfDay(Number(time)))} ${paint(style, name.padEnd(5))} ${text}\n`;
  return err === undefined ? head : head + describeError(err, paint);
}

function describeCall(fields: Fields, paint: Paint): string {
  const {
    method,
    code,
    reason,
    durationMs,
    protocol,
    stream,
    principal,
    credential,
    address,
    requestId,
    ...others
  } = fields;
  const outcome = reason === undefined ? show(code) : `${show(code)} ${show(reason)}`;
  const who = [principal, credential].filter((part) => part !== undefined).map(show);
  const from = address === "" ? [] : ["from", show(address)];
  return [
    show(method),
    paint(code === "ok" ? "green" : "yellow", outcome),
    `${Number(durationMs).toFixed(2)} ms`,
    stream === true ? `${show(protocol)} stream` : show(protocol),
    paint("gray", ["", ...who, ...from, "req", show(requestId)].join(" ")) + describeFields(others, paint),
  ].join(" ");
}

function describe(msg: unknown, fields: Fields, paint: Paint): string {
  return show(msg ?? "") + describeFields(fields, paint);
}

function describeFields(fields: Fields, paint: Paint): string {
  const texts = Object.entries(fields).map(([name, value]) => `${escapeControls(name)}=${show(value)}`);
  return texts.length === 0 ? "" : paint("gray", `  ${texts.join(" ")}`);
}

/** The stack says it all, the others of its fields come behind it. */
function describeError(err: unknown, paint: Paint): string {
  if (typeof err !== "object" || err === null) return `    ${show(err)}\n`;
  const { stack, type, message, ...others } = err as Fields;
  const text = typeof stack === "string" ? stack : `${type ?? "Error"}: ${message ?? ""}`;
  const lines = text.split("\n").map((line) => `    ${escapeControls(line)}\n`);
  const more = describeFields(others, paint);
  return lines.join("") + (more === "" ? "" : `  ${more}\n`);
}

function show(value: unknown): string {
  return escapeControls(typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"));
}

function timeOfDay(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
