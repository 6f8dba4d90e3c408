import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { sql } from "kysely";
import { createApiKeyService } from "../src/api-keys/api-key.service.ts";
import { hashApiKey, isApiKey } from "../src/api-keys/api-key-text.ts";
import { findUsableKeys } from "../src/api-keys/api-key-use.repository.ts";
import { openDatabase } from "../src/platform/database.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends, type TestDatabase } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { runCommand, startServerProcess } from "./support/server-process.ts";

const uuid = "[\\da-f]{8}-[\\da-f]{4}-7[\\da-f]{3}-[\\da-f]{4}-[\\da-f]{12}";
const time = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
const unknownId = "01890000-0000-7000-8000-000000000000";

async function createDatabase(t: TestContext, backend: (typeof backends)[number]): Promise<TestDatabase> {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  return database;
}

/** `user-bridge api-keys …` */
async function run({ variables }: TestDatabase, ...args: string[]) {
  const { code, stdout, stderr } = await runCommand(["api-keys", ...args], {
    ...variables,
    LOG_LEVEL: "warn",
  });
  return { code, stdout, stderr };
}

function refusal(reason: string) {
  return { code: 1, stdout: "", stderr: `user-bridge: ${reason}\n` };
}

/** The key that a command has printed, and the id that it has told. */
function readSecret({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }) {
  assert.equal(code, 0, stderr);
  const secret = stdout.trimEnd();
  assert.equal(stdout, `${secret}\n`);
  assert.ok(isApiKey(secret));
  assert.ok(!stderr.includes(secret));
  const id = new RegExp(`^user-bridge: created key (${uuid}), `).exec(stderr)?.[1];
  assert.ok(id, stderr);
  return { secret, id, explanation: stderr };
}

for (const backend of backends) {
  describe(`api-keys on the ${backend.name} database`, () => {
    test("create, list, rotate and revoke do what they say, and print the secret alone", async (t) => {
      const database = await createDatabase(t, backend);
      assert.deepEqual(await run(database, "list"), { code: 0, stdout: "", stderr: "" });
      const scoped = ["--scope", "users:read", "events:read", "--expires-in", "90d"];
      const first = readSecret(await run(database, "create", "--name", "reports\nof the day", ...scoped));
      assert.match(first.explanation, new RegExp(`, good until ${time}\n$`));
      const second = readSecret(await run(database, "create", "--name", "telemetry"));
      assert.match(second.explanation, /, good until it is revoked\n$/);

      const third = readSecret(await run(database, "rotate", first.id, "--grace", "1h"));
      assert.match(third.explanation, new RegExp(`; key ${first.id} is good until ${time}\n$`));
      assert.deepEqual(
        await run(database, "rotate", first.id),
        refusal("the API key is revoked, has expired or has been rotated already"),
      );
      const fourth = readSecret(await run(database, "rotate", second.id));
      assert.match(fourth.explanation, new RegExp(`; key ${second.id} is revoked\n$`));
      const revoked = await run(database, "revoke", first.id);
      assert.deepEqual({ ...revoked, stderr: "" }, { code: 0, stdout: "", stderr: "" });
      assert.match(revoked.stderr, new RegExp(`^user-bridge: key ${first.id} is revoked since ${time}\n$`));
      assert.deepEqual(await run(database, "revoke", first.id), revoked);

      const { stdout } = await run(database, "list");
      const line = (id: string, secret: string, state: string, rest: string) =>
        new RegExp(`^${id}  ${secret.slice(0, 12)}  ${state} *  -  ${rest}$`);
      const expected = [
        line(fourth.id, fourth.secret, "good", '-  -  "telemetry"'),
        line(third.id, third.secret, "good", `${time}  events:read,users:read  "reports\\\\nof the day"`),
        line(second.id, second.secret, "revoked", `${time}  -  "telemetry"`),
        line(first.id, first.secret, "revoked", `${time}  events:read,users:read  "reports\\\\nof the day"`),
      ];
      const lines = stdout.trimEnd().split("\n");
      assert.equal(lines.length, expected.length);
      for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? "", pattern);

      const opened = await openDatabase<Schema>(database.config, testLogger);
      cleanUpAfter(t, opened.close);
      const usable = await findUsableKeys(
        opened.queries,
        [first, second, third, fourth].map(({ secret }) => hashApiKey(secret)),
      );
      assert.deepEqual(new Set([...usable.values()].map(({ id }) => id)), new Set([third.id, fourth.id]));
      const key = await createApiKeyService(opened.queries, () => new Date()).get(third.id);
      assert.equal(key.createdBy, "command:api-keys rotate");
      const { rows } = await sql<{ actor: string; procedure: string; subject: string }>`
        select actor, procedure, subject from audit_log order by id`.execute(opened.queries);
      assert.deepEqual(
        rows.map(({ actor, subject }) => [actor, subject]),
        [
          ["command:api-keys create", first.id],
          ["command:api-keys create", second.id],
          ["command:api-keys rotate", first.id],
          ["command:api-keys rotate", second.id],
          ["command:api-keys revoke", first.id],
          ["command:api-keys revoke", first.id],
        ],
      );
    });
  });
}

const [embedded] = backends;

describe("api-keys", () => {
  test("refuses what cannot be, and says why", async (t) => {
    assert.ok(embedded);
    const database = await createDatabase(t, embedded);
    const noKey = refusal("no such API key");
    assert.deepEqual(await run(database, "revoke", unknownId), noKey);
    assert.deepEqual(await run(database, "rotate", "nobody"), noKey);
    assert.deepEqual(
      await run(database, "create", "--name", "x", "--scope", "Users"),
      refusal(
        "scopes[0]: must be up to four words of lower-case letters, digits, underscores or hyphens, with . or : between",
      ),
    );
    assert.deepEqual(
      await run(database, "create", "--name", ""),
      refusal("name: must be 1 to 100 characters of well-formed text without U+0000"),
    );
    for (const args of [
      ["create", "--name", "x", "--expires-in", "0s"],
      ["create", "--name", "x", "--expires-in", "never"],
      ["create", "--name", "x", "--expires-in", "3653d"],
      ["rotate", unknownId, "--grace", "-1h"],
      ["rotate", unknownId, "--grace", "366d"],
      ["create"],
      ["revoke"],
    ]) {
      const { code, stdout, stderr } = await run(database, ...args);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^error: /);
    }
    assert.equal((await run(database, "list")).stdout, "");
  });

  test("says who has the embedded database open, and what to do", async (t) => {
    assert.ok(embedded);
    const database = await createDatabase(t, embedded);
    const server = await startServerProcess(database.variables);
    cleanUpAfter(t, () => server.stop("SIGKILL"));
    const { code, stdout, stderr } = await run(database, "create", "--name", "x");
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.ok(stderr.includes(`process ${server.child.pid} holds its lock`), stderr);
    assert.match(stderr, /apikeys\.v1\.ApiKeyService\n$/);
  });
});
