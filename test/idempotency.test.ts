import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { type KyselyPlugin, RawNode, sql } from "kysely";
import { removeExpiredAnswers } from "../src/writes/kept-answer-clean-up.ts";
import { backends } from "./support/databases.ts";
import { type EventSystem, openLog, openTestDatabase } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { countAdded, countKept, usersAt, withKey } from "./support/keyed-calls.ts";
import { protocols } from "./support/protocols.ts";
import { requestHttp2 } from "./support/raw-http.ts";
import { serveLog } from "./support/serve-log.ts";
import { useDatabase } from "./support/shared-database.ts";

const reused = { code: Code.InvalidArgument, reason: "IDEMPOTENCY_KEY_REUSED" };
const invalid = { code: Code.InvalidArgument, reason: "IDEMPOTENCY_KEY_INVALID" };
const emailTaken = { code: Code.AlreadyExists, reason: "EMAIL_TAKEN" };

async function serve(t: TestContext, system: EventSystem) {
  const url = await serveLog(t, system);
  return { database: system.database, url, users: usersAt(url) };
}

function person(name = `u${randomUUID().replaceAll("-", "").slice(0, 20)}`) {
  return { email: `${name}@example.com`, username: name };
}

/** Calls back when a statement with the text in it is about to be sent. */
function onStatement(text: string, callBack: () => void): KyselyPlugin {
  return {
    transformQuery({ node }) {
      if (RawNode.is(node) && node.sqlFragments.some((fragment) => fragment.includes(text))) callBack();
      return node;
    },
    transformResult: async ({ result }) => result,
  };
}

/** Makes all that is kept a day and an hour older. */
async function age(database: EventSystem["database"]): Promise<void> {
  await sql`update idempotency_keys set created_at = created_at - interval '25 hours'`.execute(database);
}

for (const backend of backends) {
  describe(`a write with an idempotency key, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);
    const open = async (t: TestContext) => serve(t, await openLog(t, (await shared.renew()).database));

    test("that is repeated gets the first answer and has happened once, whichever it is", async (t) => {
      const { database, users } = await open(t);
      const { id } = await users.registerUser(person());
      const writes = [
        (key: string) => users.registerUser(person("registered"), withKey(key)),
        (key: string) => users.updateUser({ user: { id, email: "new@example.com" } }, withKey(key)),
        (key: string) => users.deactivateUser({ id }, withKey(key)),
        (key: string) => users.activateUser({ id }, withKey(key)),
        (key: string) => users.deleteUser({ id }, withKey(key)),
      ];
      for (const [index, write] of writes.entries()) {
        const key = `key-${index}`;
        const added = await countAdded(database, async () => {
          const first = await write(key);
          for (let repetition = 0; repetition < 3; repetition++) assert.deepEqual(await write(key), first);
        });
        assert.deepEqual(added, { events: 1, audits: 1, keys: 1 });
      }
    });

    test("is the same request by every protocol and codec", async (t) => {
      const { database, url } = await open(t);
      const added = await countAdded(database, async () => {
        const answers: unknown[] = [];
        for (const { createTransport } of protocols) {
          answers.push(
            await usersAt(url, createTransport(url)).registerUser(person("everywhere"), withKey("k")),
          );
        }
        for (const answer of answers) assert.deepEqual(answer, answers[0]);
      });
      assert.deepEqual(added, { events: 1, audits: 1, keys: 1 });
    });

    test("is answered byte for byte as the first time", async (t) => {
      const { url } = await open(t);
      const headers = { "content-type": "application/json", "idempotency-key": "bytes" };
      const register = () =>
        requestHttp2(url, "/users.v1.UserService/RegisterUser", headers, JSON.stringify(person("bytes")));
      const first = await register();
      assert.equal(first.headers[":status"], 200);
      assert.equal((await register()).body, first.body);
    });

    test("refuses another request and another RPC with the same key", async (t) => {
      const { database, users } = await open(t);
      const ada = person("ada");
      const { id } = await users.registerUser(ada, withKey("k"));
      const added = await countAdded(database, async () => {
        await expectError(users.registerUser({ ...ada, username: "other" }, withKey("k")), reused);
        await expectError(users.registerUser(person("bob"), withKey("k")), reused);
        await expectError(users.deactivateUser({ id }, withKey("k")), reused);
        await expectError(users.deleteUser({ id }, withKey("k")), reused);
        await expectError(users.deleteUser({ id: randomUUID() }, withKey("k")), reused);
      });
      assert.deepEqual(added, { events: 0, audits: 0, keys: 0 });
      assert.equal((await users.getUser({ id })).user?.isActive, true);
    });

    test("tells the answer of a repetition, whatever has become of the user since", async (t) => {
      const { users } = await open(t);
      const ada = person("ada");
      const first = await users.registerUser(ada, withKey("register"));
      const renamed = await users.updateUser(
        { user: { id: first.id, email: "new@example.com" } },
        withKey("rename"),
      );
      assert.deepEqual(await users.registerUser(ada, withKey("register")), first);
      await users.updateUser({ user: { id: first.id, email: "newer@example.com" } });
      assert.deepEqual(
        await users.updateUser({ user: { id: first.id, email: "new@example.com" } }, withKey("rename")),
        renamed,
      );
      await users.deleteUser({ id: first.id }, withKey("delete"));
      assert.deepEqual(await users.registerUser(ada, withKey("register")), first);
      await users.deleteUser({ id: first.id }, withKey("delete"));
      await expectError(users.getUser({ id: first.id }), { code: Code.NotFound });
    });

    test("is tried anew where it was refused the first time", async (t) => {
      const { database, users } = await open(t);
      const ada = person("ada");
      const holder = await users.registerUser(ada);
      await expectError(users.registerUser(ada, withKey("k")), emailTaken);
      assert.equal((await countKept(database)).keys, 0);
      await users.deleteUser({ id: holder.id });
      const { id } = await users.registerUser(ada, withKey("k"));
      assert.notEqual(id, holder.id);
      assert.equal((await users.registerUser(ada, withKey("k"))).id, id);
    });

    test("is forgotten after a day", async (t) => {
      const { database, users } = await open(t);
      const ada = person("ada");
      const first = await users.registerUser(ada, withKey("register"));
      await users.deactivateUser({ id: first.id }, withKey("deactivate"));
      await age(database);
      await expectError(users.registerUser(ada, withKey("register")), emailTaken);
      await users.activateUser({ id: first.id });
      const again = await users.deactivateUser({ id: first.id }, withKey("deactivate"));
      assert.equal(again.user?.isActive, false);
      assert.equal((await users.getUser({ id: first.id })).user?.isActive, false);
      await users.deleteUser({ id: first.id });
      const second = await users.registerUser(ada, withKey("register"));
      assert.notEqual(second.id, first.id);
      assert.deepEqual(await users.registerUser(ada, withKey("register")), second);
    });

    test("leaves nothing behind once it is cleaned up", async (t) => {
      const { database, users } = await open(t);
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => users.registerUser(person(), withKey(`old-${n}`))),
      );
      await age(database);
      await users.registerUser(person(), withKey("young"));
      assert.equal(await removeExpiredAnswers(database, new Date()), 20);
      assert.equal((await countKept(database)).keys, 1);
    });

    test("is one where many race, and all get its answer", async (t) => {
      const { database, users } = await open(t);
      const { id } = await users.registerUser(person());
      const writes: (() => Promise<unknown>)[] = [
        () => users.registerUser(person("raced"), withKey("register")),
        () => users.updateUser({ user: { id, email: "raced2@example.com" } }, withKey("update")),
        () => users.deactivateUser({ id }, withKey("deactivate")),
        () => users.deleteUser({ id }, withKey("delete")),
      ];
      for (const write of writes) {
        const added = await countAdded(database, async () => {
          const answers = await Promise.all(Array.from({ length: 50 }, write));
          for (const answer of answers) assert.deepEqual(answer, answers[0]);
        });
        assert.deepEqual(added, { events: 1, audits: 1, keys: 1 });
      }
    });

    test("of a client that gives all its calls one key refuses all but one, and nobody else's", async (t) => {
      const { database, users } = await open(t);
      for (const round of ["a", "b"]) {
        const wrong = Array.from({ length: 20 }, (_, n) => person(`wrong_${round}${n}`));
        const right = Array.from({ length: 20 }, (_, n) => person(`right_${round}${n}`));
        const added = await countAdded(database, async () => {
          const calls = wrong.map((one) => users.registerUser(one, withKey("constant")));
          const others = right.map((one) => users.registerUser(one));
          const outcomes = await Promise.allSettled(calls);
          await Promise.all(others);
          const refused = outcomes.filter((outcome) => outcome.status === "rejected");
          assert.equal(refused.length, round === "a" ? 19 : 20);
          for (const { reason } of refused) await expectError(Promise.reject(reason), reused);
        });
        const kept = round === "a" ? 1 : 0;
        assert.deepEqual(added, { events: 20 + kept, audits: 20 + kept, keys: kept });
      }
    });

    test("must have a key that can be one; reads do not look at it", async (t) => {
      const { database, url, users } = await open(t);
      const { id } = await users.registerUser(person());
      const before = await countKept(database);
      for (const key of ["", "two words", "x".repeat(256)]) {
        await expectError(users.registerUser(person(), withKey(key)), invalid);
        assert.equal((await users.getUser({ id }, withKey(key))).user?.id, id);
      }
      const twice = { "content-type": "application/json", "idempotency-key": ["one", "two"] };
      const { headers } = await requestHttp2(
        url,
        "/users.v1.UserService/DeleteUser",
        twice,
        JSON.stringify({ id }),
      );
      assert.equal(headers[":status"], 400);
      assert.deepEqual(await countKept(database), before);
      await users.deleteUser({ id }, withKey(`!~${"x".repeat(253)}`));
    });

    test("fails with the database where it cannot be told whether it is a repetition", async (t) => {
      const { database, users } = await open(t);
      const ada = person("ada");
      const first = await users.registerUser(ada, withKey("k"));
      let isBroken = true;
      const broken = database.withPlugin(
        onStatement("select request_mac", () => {
          if (isBroken) throw Object.assign(new Error("Connection terminated"), { code: "08006" });
        }),
      );
      const late = await serve(t, await openLog(t, broken));
      await expectError(late.users.registerUser(ada, withKey("k")), { code: Code.Unavailable });
      isBroken = false;
      assert.deepEqual(await late.users.registerUser(ada, withKey("k")), first);
    });

    test("is not kept where the write is rolled back", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const { users } = await serve(t, await openLog(t, database));
      const { id } = await users.registerUser(person("ada"));
      const before = await countKept(database);
      await sql`delete from stream_head`.execute(database);
      await expectError(users.registerUser(person("bob"), withKey("k")), { code: Code.Internal });
      await expectError(users.deactivateUser({ id }, withKey("l")), { code: Code.Internal });
      assert.deepEqual(await countKept(database), before);
    });
  });
}
