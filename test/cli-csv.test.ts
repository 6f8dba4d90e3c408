import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createLineQueue, splitLines } from "../src/cli/csv-lines.ts";
import { type CsvRecord, readCsvRecords } from "../src/cli/csv-records.ts";
import { CommandError } from "../src/cli/failure.ts";
import { type ImportRow, openImportRows } from "../src/cli/import-rows.ts";

async function* pieces(...texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}

const records = (...texts: readonly string[]): AsyncGenerator<CsvRecord> =>
  readCsvRecords(createLineQueue(splitLines(pieces(...texts))));

/** The records as `line: fields`, or `line: !reason`. */
async function readAll(...texts: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for await (const record of records(...texts)) {
    const { firstLine, lastLine } = record;
    const lines = firstLine === lastLine ? `${firstLine}` : `${firstLine}-${lastLine}`;
    found.push(`${lines}: ${record.kind === "fields" ? record.fields.join("|") : `!${record.reason}`}`);
  }
  return found;
}

async function readRows(text: string): Promise<ImportRow[]> {
  const rows: ImportRow[] = [];
  const iterator = await openImportRows(records(text));
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    rows.push(next.value);
  }
  return rows;
}

test("a file is read alike with LF, CRLF, CR and all of them mixed, with and without a byte order mark", async () => {
  const expected = ["1: a|b", "3: c|d", "4: e|f"];
  for (const [first, second, third] of ["\n\n\n", ["\r\n", "\r\n", "\r\n"], "\r\r\r", ["\r\n", "\n", "\r"]]) {
    for (const mark of ["", "\uFEFF"]) {
      assert.deepEqual(await readAll(`${mark}a,b${first}${second}c,d${third}e,f`), expected);
    }
  }
});

test("quoted fields hold commas, doubled quotes and line ends, and lines are counted through them", async () => {
  const text = '"a,1","b ""x"""\r\n"two\r\nlines", y \r\n"",""\n  "spaced"  ,z\nlast,"line"';
  assert.deepEqual(await readAll(text), ['1: a,1|b "x"', "2-3: two\nlines|y", "5: spaced|z", "6: last|line"]);
});

test("a line with wrong quotes is broken alone: what follows it is read", async () => {
  assert.deepEqual(await readAll('"a,b\nc,d\n"e" x,f\ng,h\ni"j,k\nl,m\n"n\no,p'), [
    "1: !a quoted field has no closing quote",
    "2: c|d",
    "3: !text behind a closing quote",
    "4: g|h",
    "5: !a quote inside an unquoted field",
    "6: l|m",
    "7: !a quoted field has no closing quote",
    "8: o|p",
  ]);
});

test("a quote that is never closed costs its own line, however much follows", async () => {
  const rows = Array.from({ length: 5_000 }, (_, index) => `user${index},x`);
  const found = await readAll(`"${rows.join("\n")}`);
  assert.equal(found.length, rows.length);
  assert.equal(found[0], "1: !a quoted field has no closing quote");
  assert.equal(found.at(-1), "5000: user4999|x");
});

test("a line without an end is refused before it fills the memory", async () => {
  async function* endless(): AsyncGenerator<string> {
    for (;;) yield "x".repeat(65_536);
  }
  await assert.rejects(splitLines(endless()).next(), CommandError);
});

test("whatever fields a writer quotes are read back, wherever the file is cut into pieces", async () => {
  const field = fc.string({
    unit: fc.constantFrom("a", "é", "🙂", '"', ",", "\n", "\r\n", " ", "x"),
    maxLength: 8,
  });
  const row = fc.array(field, { minLength: 1, maxLength: 4 });
  const cuts = fc.array(fc.nat(400), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), cuts, async (rows, places) => {
      const text = rows.map((fields) => `${fields.map(quote).join(",")}\r\n`).join("");
      const sorted = [
        0,
        ...places.map((place) => place % (text.length + 1)).sort((a, b) => a - b),
        text.length,
      ];
      const parts = sorted.slice(1).map((end, index) => text.slice(sorted[index], end));
      const found: (readonly string[])[] = [];
      let line = 1;
      for await (const record of records(...parts)) {
        assert.ok(record.kind === "fields");
        assert.ok(record.firstLine >= line && record.lastLine >= record.firstLine);
        line = record.lastLine + 1;
        found.push(record.fields);
      }
      const expected = rows
        .map((fields) => fields.map((value) => value.replaceAll("\r\n", "\n").trim()))
        .filter((fields) => fields.some((value) => value !== ""));
      assert.deepEqual(found, expected);
    }),
  );
});

function quote(value: string): string {
  return `"${value.replaceAll('"', '""')}"`;
}

test("the header names the columns in any order and case; other columns are ignored", async () => {
  const [row] = await readRows(' UserName ,age,"EMAIL"\n ada ,36, ada@example.com \n');
  assert.deepEqual(row, {
    firstLine: 2,
    lastLine: 2,
    kind: "user",
    email: "ada@example.com",
    username: "ada",
  });
});

test("a row that has not the header's fields is broken; empty ones at its end do not count", async () => {
  const rows = await readRows("email,x,username\na@b,ada\na@b,,ada,\na@b,Smith,John,ada\n,,\n");
  assert.deepEqual(
    rows.map((row) => `${row.firstLine}: ${row.kind === "user" ? row.username : row.reason}`),
    ["2: 2 fields under 3 columns", "3: ada", "4: 4 fields under 3 columns"],
  );
});

const wrongHeaders = {
  "no line at all": ["\n \n", /the file is empty/],
  "no such columns": ["mail,name\n", /line 1 must name the columns email and username.*it is: mail,name/],
  "another separator": [
    "\nemail;username\n",
    /line 2 must name .* separated by commas; it is: email;username/,
  ],
  "a column twice": ["email,username,Email\n", /line 1 names the column email or username twice/],
  "wrong quotes": ['"email,username\n', /line 1 cannot be read: a quoted field has no closing quote/],
} as const;

for (const [what, [text, message]] of Object.entries(wrongHeaders)) {
  test(`a header with ${what} is refused`, async () => {
    await assert.rejects(
      readRows(text),
      (error) => error instanceof CommandError && message.test(error.message),
    );
  });
}
