import { maySecretsBeIn, redact } from "./log-redaction.ts";

/** What a terminal obeys instead of showing it, and what turns the direction of a text: control characters. */
const controls = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
/** Those that JSON leaves as they are, but for the end of the line. */
const controlsInJson = /(?!\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
/** What may be one of them, for less: anything but visible ASCII. */
const unusual = /[^ -~\n]/;

/** A line of JSON as it may be written: without secrets, and without anything that a terminal obeys. */
export function cleanJsonLine(line: string): string {
  const safe = maySecretsBeIn(line) ? `${JSON.stringify(redact(JSON.parse(line)))}\n` : line;
  return unusual.test(safe) ? safe.replace(controlsInJson, escapeControl) : safe;
}

/** What a line of JSON says, without secrets. */
export function readJsonLine(line: string): Readonly<Record<string, unknown>> {
  const fields = JSON.parse(line) as Record<string, unknown>;
  return maySecretsBeIn(line) ? (redact(fields) as Record<string, unknown>) : fields;
}

/** A text as it may be shown on a terminal. */
export function escapeControls(text: string): string {
  return text.replace(controls, escapeControl);
}

function escapeControl(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
