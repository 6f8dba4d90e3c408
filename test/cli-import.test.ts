import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { readEventsAfter } from "../src/events/event.repository.ts";
import { everyEvent } from "../src/events/event.ts";
import { openDatabase } from "../src/platform/database.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends, type TestDatabase } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { runCommand, startCommand, startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

const mixed = `\uFEFFage,Email,USERNAME\r
36, ada@example.com ,ada\r
\r
,"bob@example.com","Bob"\r
,no-address,x\r
"1,carl@example.com,carl\r
2,dora@example.com,dora\r
,ADA@example.com,other\r
,other@example.com,bob\r
,Ada@Example.com,ADA\r
,eve@example.com\r
"two
lines",frank@example.com,frank`;

const mixedReports = `line 5: email: must be an email address of at most 254 characters; \
username: must be 3 to 30 letters, digits or underscores, begin with a letter and not end in an underscore
line 6: a quoted field has no closing quote
line 8: email taken
line 9: username taken
line 11: 2 fields under 3 columns
`;

const mixedEvents = ["ada", "bob", "dora", "frank"].map(
  (name, index) => `${index + 1} user_registered ${name}@example.com ${name}`,
);

async function createDatabase(t: TestContext, backend: (typeof backends)[number]): Promise<TestDatabase> {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  return database;
}

async function writeCsv(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-csv-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true }));
  const path = join(folder, "users.csv");
  await writeFile(path, text);
  return path;
}

/** The log as text, after a look that each event's user is there just so, and nobody else. */
async function readLog({ config }: TestDatabase): Promise<string[]> {
  const database = await openDatabase<Schema>(config, testLogger);
  try {
    const { events } = await readEventsAfter(database.queries, 0n, everyEvent, 100_000);
    const users = await database.queries.selectFrom("users").select(["id", "email", "username"]).execute();
    const byId = new Map(users.map((user) => [user.id, user]));
    assert.equal(events.length, users.length);
    return events.map(({ revision, type, user: { id, email, username } }) => {
      assert.deepEqual(byId.get(id), { id, email, username });
      return `${revision} ${type} ${email} ${username}`;
    });
  } finally {
    await database.close();
  }
}

function numberedUsers(count: number): string {
  const rows = Array.from({ length: count }, (_, index) => `u${index}@example.com,user${index}x\n`);
  return `email,username\n${rows.join("")}`;
}

const quiet = { LOG_LEVEL: "warn" };

for (const backend of backends) {
  describe(`import into the ${backend.name} database`, () => {
    test("good lines are kept, bad ones reported in order; a second run adds nothing twice", async (t) => {
      const database = await createDatabase(t, backend);
      const csv = await writeCsv(t, mixed);
      const variables = { ...database.variables, ...quiet };
      assert.deepEqual(await runCommand(["import", csv], variables), {
        code: 1,
        signal: null,
        stdout: "4 added, 1 already present, 5 refused\n",
        stderr: mixedReports,
      });
      assert.deepEqual(await runCommand(["import", csv], variables), {
        code: 1,
        signal: null,
        stdout: "0 added, 5 already present, 5 refused\n",
        stderr: mixedReports,
      });
      assert.deepEqual(await readLog(database), mixedEvents);
    });

    test("through a running server it does the same, by --url or because the server has the database", async (t) => {
      const database = await createDatabase(t, backend);
      const csv = await writeCsv(t, mixed);
      const server = await startServerProcess(database.variables);
      cleanUpAfter(t, () => server.stop("SIGKILL"));
      const embedded = backend.name === "embedded";
      const first = await runCommand(["import", csv, ...(embedded ? [] : ["--url", server.url])], {
        ...database.variables,
        ...quiet,
      });
      const notice = `a running server has the embedded database open; registering through it at ${server.url}\n`;
      assert.deepEqual(first, {
        code: 1,
        signal: null,
        stdout: "4 added, 1 already present, 5 refused\n",
        stderr: `${embedded ? notice : ""}${mixedReports}`,
      });
      const second = await runCommand(["import", csv, "--url", server.url], quiet);
      assert.equal(second.stderr, mixedReports);
      assert.equal(second.stdout, "0 added, 5 already present, 5 refused\n");
      assert.equal((await server.stop("SIGTERM")).code, 0);
      // Many calls at once: the log has the users in the order in which the server took them.
      assert.deepEqual(
        (await readLog(database)).map(withoutRevision).toSorted(),
        mixedEvents.map(withoutRevision),
      );
    });

    test("a file of several batches without a bad line ends with status 0", async (t) => {
      const database = await createDatabase(t, backend);
      const csv = await writeCsv(t, `${numberedUsers(1_200)}u7@example.com,user7x\n`);
      assert.deepEqual(await runCommand(["import", csv], { ...database.variables, ...quiet }), {
        code: 0,
        signal: null,
        stdout: "1200 added, 1 already present, 0 refused\n",
        stderr: "",
      });
      const log = await readLog(database);
      assert.equal(log.length, 1_200);
      assert.equal(log.at(-1), "1200 user_registered u1199@example.com user1199x");
    });

    test("Ctrl-C stops behind the last whole batch and says so; the same import goes on from there", async (t) => {
      const database = await createDatabase(t, backend);
      const variables = { ...database.variables, ...quiet };
      // The pipe stays open, so that the import waits in its second batch.
      const command = startCommand(["import", "-"], variables);
      cleanUpAfter(t, () => command.child.kill("SIGKILL"));
      command.child.stdin.write(numberedUsers(700).replace("user499x", "_"));
      await withDeadline(
        "the report on line 501",
        new Promise<void>((resolve) => {
          command.child.stderr.on("data", () => command.stderr().includes("line 501:") && resolve());
        }),
      );
      command.child.kill("SIGINT");
      assert.deepEqual(await withDeadline("the end", command.ended), { code: 130, signal: null });
      assert.equal(command.stdout(), "499 added, 0 already present, 1 refused\n");
      assert.match(command.stderr(), /\nstopped after line 501: /);
      assert.equal((await readLog(database)).length, 499);
      const again = await runCommand(["import", await writeCsv(t, numberedUsers(700))], variables);
      assert.equal(again.stdout, "201 added, 499 already present, 0 refused\n");
      assert.equal(again.code, 0);
    });
  });
}

function withoutRevision(event: string): string {
  return event.slice(event.indexOf(" ") + 1);
}

test("a server that dies in mid-import: all lines up to the one named are done", async (t) => {
  const [backend] = backends;
  assert.ok(backend);
  const database = await createDatabase(t, backend);
  const csv = await writeCsv(t, numberedUsers(20_000));
  const server = await startServerProcess(database.variables);
  cleanUpAfter(t, () => server.stop("SIGKILL"));
  const users = createClient(UserService, createGrpcTransport({ baseUrl: server.url }));
  const watching = new AbortController();
  const importing = runCommand(["import", "--url", server.url, csv], quiet);
  let seen = 0;
  for await (const event of users.streamUserEvents({ start: 1 }, { signal: watching.signal })) {
    seen += event.type === "user_registered" ? 1 : 0;
    if (seen === 600) break;
  }
  await server.stop("SIGKILL");
  const ended = await withDeadline("the import's end", importing);
  assert.equal(ended.code, 1);
  assert.match(ended.stderr, /^user-bridge: the connection to .* failed|^user-bridge: no server answers/m);
  const line = Number(/^stopped after line (\d+): all lines up to it are done/m.exec(ended.stderr)?.[1]);
  // How far the answers had come is for the scheduler to say; that what is named is done is for the import.
  assert.ok(line >= 1, ended.stderr);
  assert.equal(ended.stdout, `${line - 1} added, 0 already present, 0 refused\n`);
  const emails = new Set((await readLog(database)).map((event) => event.split(" ")[2]));
  for (let index = 0; index < line - 1; index++) {
    assert.ok(emails.has(`u${index}@example.com`), `line ${index + 2} of ${line} was not done`);
  }
});

const impossible = {
  "a file that is missing": [["import", "/nowhere/users.csv"], /cannot read \/nowhere\/users\.csv: ENOENT/],
  "a folder": [["import", tmpdir()], /cannot read .*: it is a folder/],
  "an empty file": [["import", "/dev/null"], /the file is empty/],
  "no file at all": [["import"], /missing required argument 'file.csv'/],
  "a URL that is none": [["import", "--url", "localhost", "-"], /such as http:.* not "localhost"/],
  "no server": [["import", "--url", "http://127.0.0.1:1", "-"], /no server answers at http:\/\/127/],
} as const;

for (const [what, [args, message]] of Object.entries(impossible)) {
  test(`${what} is an error that says so, and opens no database`, async () => {
    const command = startCommand(args, { DATA_DIR: "/dev/null/none", ...quiet });
    command.child.stdin.end("email,username\nada@example.com,ada\n");
    assert.equal((await command.ended).code, 1);
    assert.match(command.stderr(), message);
    assert.doesNotMatch(command.stderr(), / {4}at /);
  });
}
