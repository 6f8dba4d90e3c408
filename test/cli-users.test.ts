import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { createPasswordHasher } from "../src/auth/password-hasher.ts";
import { openDatabase } from "../src/platform/database.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends, type TestDatabase } from "./support/databases.ts";
import { openLog, testLogger } from "./support/event-system.ts";
import { startCommand, startServerProcess } from "./support/server-process.ts";

const hasher = createPasswordHasher({ memoryKib: 8, iterations: 1, parallelism: 1, maxConcurrency: 1 });
const cheap = { PASSWORD_MEMORY: "1MiB", PASSWORD_ITERATIONS: "1", LOG_LEVEL: "warn" };

async function createDatabase(t: TestContext, backend: (typeof backends)[number]): Promise<TestDatabase> {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  return database;
}

/** `user-bridge users create`, given bytes on standard input. */
async function createUser({ variables }: TestDatabase, input: string | Uint8Array, ...args: string[]) {
  const command = startCommand(["users", "create", ...args], { ...variables, ...cheap });
  // One that fails before it reads closes its end.
  command.child.stdin.on("error", () => {});
  command.child.stdin.end(input);
  const { code } = await command.ended;
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

function refusal(reason: string) {
  return { code: 1, stdout: "", stderr: `user-bridge: ${reason}\n` };
}

for (const backend of backends) {
  describe(`users create on the ${backend.name} database`, () => {
    test("makes an account that logs in with the password, and one event of it", async (t) => {
      const database = await createDatabase(t, backend);
      const args = ["--email", "Ada@example.com", "--full-name", "Ada Lovelace", "--superuser"];
      const first = await createUser(database, "correct horse\r\nwrong horse\n", ...args);
      assert.equal(first.code, 0, first.stderr);
      assert.match(first.stdout, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\n$/);
      assert.equal(first.stderr, "");
      const second = await createUser(database, "pässwörter", "--email", "bob@example.com", "--inactive");
      assert.equal(second.code, 0, second.stderr);
      const again = await createUser(database, "correct horse", "--email", "ADA@example.com");
      assert.deepEqual(again, refusal("another user has this email"));

      const opened = await openDatabase<Schema>(database.config, testLogger);
      cleanUpAfter(t, opened.close);
      const { accounts } = await openLog(t, opened.queries);
      for (const { id, password, expected } of [
        {
          id: first.stdout.trim(),
          password: "correct horse",
          expected: { email: "ada@example.com", fullName: "Ada Lovelace", isActive: true, isSuperuser: true },
        },
        {
          id: second.stdout.trim(),
          password: "pässwörter",
          expected: { email: "bob@example.com", fullName: "", isActive: false, isSuperuser: false },
        },
      ]) {
        const login = await accounts.findLogin(expected.email);
        assert.deepEqual({ ...login?.account, id, ...expected }, login?.account);
        assert.match(login?.passwordHash ?? "", /^\$argon2id\$v=19\$m=1024,t=1,/);
        assert.equal((await hasher.verify(login?.passwordHash, password)).isMatch, true);
      }
      const events = await opened.queries.selectFrom("user_events").select(["type", "user_id"]).execute();
      assert.deepEqual(events, [
        { type: "user_registered", user_id: first.stdout.trim() },
        { type: "user_registered", user_id: second.stdout.trim() },
      ]);
    });

    test("refuses what cannot be an account, and says why", async (t) => {
      const database = await createDatabase(t, backend);
      const email = ["--email", "ada@example.com"];
      const length = refusal("password: must be 8 to 1024 bytes of UTF-8");
      const missing = refusal("standard input has no password; its first line is to be the password");
      assert.deepEqual(await createUser(database, "1234567\n", ...email), length);
      assert.deepEqual(await createUser(database, "x".repeat(1_025), ...email), length);
      assert.deepEqual(await createUser(database, "x".repeat(200_000), ...email), length);
      assert.deepEqual(await createUser(database, "", ...email), missing);
      assert.deepEqual(await createUser(database, "\ncorrect horse\n", ...email), missing);
      assert.deepEqual(
        await createUser(database, Uint8Array.of(0xff, ...Buffer.from("correct horse")), ...email),
        refusal("the password on standard input is not in UTF-8"),
      );
      assert.deepEqual(
        await createUser(database, "correct horse", "--email", "no address"),
        refusal("email: must be an email address of at most 254 characters"),
      );
    });
  });
}

const [embedded] = backends;

describe("users create", () => {
  for (const args of [["--password", "hunter2hunter2"], ["--password=hunter2hunter2"], ["--password"]]) {
    test(`takes no ${args.join(" ").replace(/hunter\S*/, "…")} for an answer, and does not repeat it`, async (t) => {
      assert.ok(embedded);
      const database = await createDatabase(t, embedded);
      const { code, stdout, stderr } = await createUser(
        database,
        "correct horse",
        "--email",
        "ada@example.com",
        ...args,
      );
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^user-bridge: a password is never an argument: .* standard input\n$/);
      assert.ok(!stderr.includes("hunter2"));
    });
  }

  test("says who has the embedded database open, and what to do", async (t) => {
    assert.ok(embedded);
    const database = await createDatabase(t, embedded);
    const server = await startServerProcess({ ...database.variables, ...cheap });
    cleanUpAfter(t, () => server.stop("SIGKILL"));
    const { code, stdout, stderr } = await createUser(
      database,
      "correct horse",
      "--email",
      "ada@example.com",
    );
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.ok(
      stderr.includes(`process ${server.child.pid} holds its lock and serves at ${server.url}`),
      stderr,
    );
    assert.match(stderr, /Stop that process.*auth\.AuthService\/CreateUser\n$/);
  });
});
