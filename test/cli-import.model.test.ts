import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import { startApp } from "../src/app.ts";
import { openDatabaseRegistrar } from "../src/cli/database-registrar.ts";
import { openImportFile } from "../src/cli/import-file.ts";
import { type ImportProgress, runImport } from "../src/cli/import-run.ts";
import type { Registrar } from "../src/cli/registrar.ts";
import { connectServer } from "../src/cli/server-connection.ts";
import { createServerRegistrar } from "../src/cli/server-registrar.ts";
import { readEventsAfter } from "../src/events/event.repository.ts";
import { everyEvent } from "../src/events/event.ts";
import { openDatabase } from "../src/platform/database.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { testConfig } from "./support/test-app.ts";

/** A line of a file: users from a pool so small that most collide, and every kind of bad line. */
type Line =
  | {
      readonly kind: "user";
      readonly email: number;
      readonly username: number;
      readonly isUpperCase: boolean;
    }
  | { readonly kind: "blank" }
  | { readonly kind: "bad"; readonly text: string; readonly reason: string };

const emailRule = "email: must be an email address of at most 254 characters";
const usernameRule =
  "username: must be 3 to 30 letters, digits or underscores, begin with a letter and not end in an underscore";

const badLines = [
  { text: "no-address,abc", reason: emailRule },
  { text: "a@example.com,_abc", reason: usernameRule },
  { text: ",x", reason: `${emailRule}; ${usernameRule}` },
  { text: "a@example.com", reason: "1 fields under 2 columns" },
  { text: "a@example.com,abc,d", reason: "3 fields under 2 columns" },
  { text: '"a@example.com"x,abc', reason: "text behind a closing quote" },
  { text: 'a"@example.com",abc', reason: "a quote inside an unquoted field" },
];

const line: fc.Arbitrary<Line> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("user" as const),
      email: fc.nat(11),
      username: fc.nat(11),
      isUpperCase: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "blank" as const }) },
  { weight: 3, arbitrary: fc.constantFrom(...badLines.map((bad) => ({ kind: "bad" as const, ...bad }))) },
);

interface Imported {
  readonly added: number;
  readonly present: number;
  readonly reports: readonly string[];
}

/** What an import promises, said as plainly as possible: one line after the other, each on its own merits. */
class Model {
  readonly usernames = new Map<string, string>();

  import(lines: readonly Line[], run: number): Imported {
    let [added, present] = [0, 0];
    const reports: string[] = [];
    for (const [index, row] of lines.entries()) {
      const refuse = (reason: string) => void reports.push(`${index + 2}: ${reason}`);
      if (row.kind === "bad") refuse(row.reason);
      if (row.kind !== "user") continue;
      const { email, username } = nameUser(row, run);
      if (this.usernames.get(email) === username) present++;
      else if (this.usernames.has(email)) refuse("email taken");
      else if ([...this.usernames.values()].includes(username)) refuse("username taken");
      else {
        this.usernames.set(email, username);
        added++;
      }
    }
    return { added, present, reports };
  }
}

/** Each run has users of its own, so that one database serves them all. */
function nameUser(row: { email: number; username: number }, run: number) {
  return { email: `r${run}_${row.email}@example.com`, username: `r${run}_${row.username}x` };
}

function toCsv(lines: readonly Line[], run: number): string {
  const text = lines.map((row) => {
    if (row.kind !== "user") return row.kind === "bad" ? row.text : "";
    const { email, username } = nameUser(row, run);
    return row.isUpperCase ? ` ${email.toUpperCase()} ,"${username.toUpperCase()}"` : `${email},${username}`;
  });
  return ["email,username", ...text, ""].join("\n");
}

async function importCsv(path: string, registrar: Registrar): Promise<Imported> {
  const stop = new AbortController().signal;
  const file = await openImportFile(path, stop);
  const progress: ImportProgress = { added: 0, present: 0, refused: 0, doneLine: 0 };
  const reports: string[] = [];
  const onRefused = (row: { firstLine: number }, reason: string) =>
    void reports.push(`${row.firstLine}: ${reason}`);
  assert.ok(await runImport({ rows: file.rows, registrar, progress, onRefused, stop }));
  assert.equal(progress.refused, reports.length);
  file.close();
  return { added: progress.added, present: progress.present, reports };
}

interface Way {
  readonly name: string;
  /** Gives a registrar into a new database, and the database's log as `email username` once it is closed. */
  open(t: TestContext, backend: Backend): Promise<{ registrar: Registrar; readLog(): Promise<string[]> }>;
}

const ways: readonly Way[] = [
  {
    name: "straight into",
    async open(t, backend) {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const registrar = await openDatabaseRegistrar(testConfig({ database: database.config }), testLogger);
      return { registrar, readLog: () => readLog(database.config, registrar.close) };
    },
  },
  {
    name: "through a server on",
    async open(t, backend) {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const config = testConfig({ database: database.config });
      const app = await startApp(config, testLogger);
      const registrar = createServerRegistrar(await connectServer(app.url, {}, config, {}));
      const close = async () => {
        await registrar.close();
        await app.close();
      };
      return { registrar, readLog: () => readLog(database.config, close) };
    },
  },
];

async function readLog(config: Parameters<typeof openDatabase>[0], close: () => Promise<void>) {
  await close();
  const database = await openDatabase<Schema>(config, testLogger);
  try {
    const { events } = await readEventsAfter(database.queries, 0n, everyEvent, 1_000_000);
    const users = await database.queries.selectFrom("users").select("id").execute();
    assert.deepEqual(events.map((event) => event.user.id).toSorted(), users.map(({ id }) => id).toSorted());
    return events.map(({ type, user }) => `${type} ${user.email} ${user.username}`);
  } finally {
    await database.close();
  }
}

for (const backend of backends) {
  describe(`the ${backend.name} database`, () => {
    for (const way of ways) {
      test(`any mix of good, bad and colliding lines ends as the model says, ${way.name} it`, async (t) => {
        const folder = await mkdtemp(join(tmpdir(), "user-bridge-csv-"));
        cleanUpAfter(t, () => rm(folder, { recursive: true }));
        const { registrar, readLog } = await way.open(t, backend);
        const model = new Model();
        let run = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(line, { maxLength: 40 }), async (lines) => {
            run += 1;
            const path = join(folder, `${run}.csv`);
            await writeFile(path, toCsv(lines, run));
            for (const time of ["first", "second"]) {
              assert.deepEqual(
                await importCsv(path, registrar),
                model.import(lines, run),
                `the ${time} time`,
              );
            }
          }),
          { numRuns: 40 },
        );
        const expected = [...model.usernames].map(([email, name]) => `user_registered ${email} ${name}`);
        const log = await readLog();
        assert.deepEqual(log.toSorted(), expected.toSorted());
        // One transaction a batch keeps the order of the file; calls side by side do not.
        if (way.name === "straight into") assert.deepEqual(log, expected);
      });
    }
  });
}
