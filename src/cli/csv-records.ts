import { CsvError, parse } from "csv-parse/sync";
import type { LineQueue } from "./csv-lines.ts";

/** A record of a CSV file, or a line that belongs to none because its quotes are wrong. */
export type CsvRecord = {
  /** Where it begins and ends; more than one line where a quoted field holds line ends. */
  readonly firstLine: number;
  readonly lastLine: number;
} & (
  | { readonly kind: "fields"; readonly fields: readonly string[] }
  | { readonly kind: "broken"; readonly reason: string }
);

/** How far a closing quote is looked for: a row of users is shorter, a forgotten quote goes on for ever. */
const maxRecordLines = 1_000;
const maxRecordLength = 1024 ** 2;

const reasons: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quoted field has no closing quote",
  INVALID_OPENING_QUOTE: "a quote inside an unquoted field",
  CSV_INVALID_CLOSING_QUOTE: "text behind a closing quote",
  CSV_NON_TRIMABLE_CHAR_AFTER_CLOSING_QUOTE: "text behind a closing quote",
};

/**
 * Reads records (RFC 4180), with white space around fields removed; blank lines are left out.
 *
 * A line with wrong quotes is given as broken, and the next line begins anew. That is why csv-parse is given
 * one record at a time: as a stream it reads on to the next quote, wherever that is, and drops what lies
 * between; behind text after a closing quote it drops the rest of its input without a word.
 */
export async function* readCsvRecords(lines: LineQueue): AsyncGenerator<CsvRecord> {
  let lineNumber = 1;
  for (;;) {
    const line = await lines.peek(0);
    if (line === undefined) {
      return;
    }
    const { count, ...content } = line.includes('"') ? await readQuoted(lines, line) : readPlain(line);
    lines.take(count);
    if (content.kind === "broken" || content.fields.some((field) => field !== "")) {
      yield { ...content, firstLine: lineNumber, lastLine: lineNumber + count - 1 };
    }
    lineNumber += count;
  }
}

/** What a record holds, and how many lines it takes. */
type Content = { readonly count: number } & (
  | { readonly kind: "fields"; readonly fields: readonly string[] }
  | { readonly kind: "broken"; readonly reason: string }
);

/** Without a quote each comma separates: csv-parse says the same, many times slower. */
function readPlain(line: string): Content {
  return { kind: "fields", fields: line.split(",").map((field) => field.trim()), count: 1 };
}

async function readQuoted(lines: LineQueue, line: string): Promise<Content> {
  const text = await findRecord(lines, line);
  const fields = text === undefined ? undefined : parseRecord(text.record);
  if (text !== undefined && Array.isArray(fields)) {
    return { kind: "fields", fields, count: text.count };
  }
  const alone = parseRecord(line);
  return { kind: "broken", reason: typeof alone === "string" ? alone : "wrong quotes", count: 1 };
}

/**
 * Adds lines until the quotes are even in number, as they are in each whole record: a quote in a quoted field
 * is written twice. Undefined where that does not happen soon.
 */
async function findRecord(
  lines: LineQueue,
  line: string,
): Promise<{ record: string; count: number } | undefined> {
  let record = line;
  let isOpen = hasOddQuotes(line);
  let count = 1;
  for (; isOpen && count < maxRecordLines && record.length < maxRecordLength; count++) {
    const next = await lines.peek(count);
    if (next === undefined) {
      return undefined;
    }
    record += `\n${next}`;
    isOpen = isOpen !== hasOddQuotes(next);
  }
  return isOpen ? undefined : { record, count };
}

function hasOddQuotes(line: string): boolean {
  let isOdd = false;
  for (let at = line.indexOf('"'); at !== -1; at = line.indexOf('"', at + 1)) {
    isOdd = !isOdd;
  }
  return isOdd;
}

/** The fields of one record, or what is wrong with it. */
function parseRecord(text: string): string[] | string {
  try {
    const records = parse(text, { relax_column_count: true, trim: true, record_delimiter: "\n" });
    const [fields] = records;
    return records.length === 1 && fields !== undefined
      ? fields.map((field) => field.trim())
      : "wrong quotes";
  } catch (error) {
    if (error instanceof CsvError) {
      return reasons[error.code] ?? error.message;
    }
    throw error;
  }
}
