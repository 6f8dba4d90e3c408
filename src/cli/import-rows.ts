import type { CsvRecord } from "./csv-records.ts";
import { CommandError } from "./failure.ts";

/** A row of the file: the two values, or why there are none. */
export type ImportRow = {
  readonly firstLine: number;
  readonly lastLine: number;
} & (
  | { readonly kind: "user"; readonly email: string; readonly username: string }
  | { readonly kind: "broken"; readonly reason: string }
);

/**
 * Reads a header that names the columns `email` and `username`, in any order and case; others are ignored.
 * Gives the rows below it.
 *
 * A row with fewer fields than the header, or with more that are not empty, is broken: somewhere in it a comma
 * is missing or too many, and then another column's value stands in the place of these two.
 *
 * @throws CommandError where there is no such header
 */
export async function openImportRows(records: AsyncIterator<CsvRecord>): Promise<AsyncIterator<ImportRow>> {
  const header = await records.next();
  return readRows(records, readHeader(header.done === true ? undefined : header.value));
}

async function* readRows(records: AsyncIterator<CsvRecord>, columns: Columns): AsyncGenerator<ImportRow> {
  for (let next = await records.next(); next.done !== true; next = await records.next()) {
    const { firstLine, lastLine } = next.value;
    yield { firstLine, lastLine, ...readRow(next.value, columns) };
  }
}

interface Columns {
  readonly count: number;
  readonly email: number;
  readonly username: number;
}

function readHeader(header: CsvRecord | undefined): Columns {
  if (header === undefined) {
    throw new CommandError("the file is empty; its first line must name the columns email and username");
  }
  if (header.kind === "broken") {
    throw new CommandError(`the header in line ${header.firstLine} cannot be read: ${header.reason}`);
  }
  const names = header.fields.map((name) => name.toLowerCase());
  const [email, username] = [names.indexOf("email"), names.indexOf("username")];
  if (email === -1 || username === -1) {
    throw new CommandError(
      `line ${header.firstLine} must name the columns email and username, separated by commas; it is: ${header.fields.join(",").slice(0, 200)}`,
    );
  }
  if (names.lastIndexOf("email") !== email || names.lastIndexOf("username") !== username) {
    throw new CommandError(`line ${header.firstLine} names the column email or username twice`);
  }
  return { count: names.length, email, username };
}

function readRow(record: CsvRecord, columns: Columns) {
  if (record.kind === "broken") {
    return { kind: "broken", reason: record.reason } as const;
  }
  const { fields } = record;
  if (fields.length < columns.count || fields.slice(columns.count).some((field) => field !== "")) {
    return { kind: "broken", reason: `${fields.length} fields under ${columns.count} columns` } as const;
  }
  return {
    kind: "user",
    email: fields[columns.email] ?? "",
    username: fields[columns.username] ?? "",
  } as const;
}
