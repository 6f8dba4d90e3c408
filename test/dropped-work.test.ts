import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type KyselyPlugin, RawNode } from "kysely";
import { backends } from "./support/databases.ts";
import { openLog, openTestDatabase } from "./support/event-system.ts";

/** Calls back when a statement that inserts into the table is about to be sent. */
function onStatement(table: string, callBack: () => void): KyselyPlugin {
  return {
    transformQuery({ node }) {
      if (RawNode.is(node) && node.sqlFragments.some((text) => text.includes(`insert into ${table}`)))
        callBack();
      return node;
    },
    transformResult: async ({ result }) => result,
  };
}

for (const backend of backends) {
  describe(`work that nobody waits for any more, on the ${backend.name} database`, () => {
    test("a write whose caller leaves before its commit is dropped whole, event and all", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const { users, tailer } = await openLog(t, database);
      const { id } = await users.register({ email: "ada@example.com", username: "ada" });
      const caller = new AbortController();
      const left = new Error("the caller has left");

      let abandoned: Promise<unknown> | undefined;
      await database.transaction().execute(async (transaction) => {
        // Whoever wants this user now waits: for its row, or (embedded) for the one session.
        await transaction.selectFrom("users").select("id").where("id", "=", id).forUpdate().execute();
        abandoned = users.setActive(id, false, caller.signal);
        abandoned.catch(() => {});
        caller.abort(left);
      });
      await assert.rejects(abandoned ?? assert.fail(), (error) => error === left);

      assert.equal((await users.get({ column: "id", value: id })).isActive, true);
      await tailer.catchUp();
      assert.equal(tailer.state.head, 1n);
      await users.setActive(id, false);
      assert.equal((await users.get({ column: "id", value: id })).isActive, false);
    });

    test("of writes that share a transaction, those whose callers leave before it begins are dropped alone", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const { users, tailer } = await openLog(t, database);
      const caller = new AbortController();
      const left = new Error("the caller has left");
      const register = (name: string, signal?: AbortSignal) =>
        users.register({ email: `${name}@example.com`, username: name }, signal);

      const answers = Promise.allSettled([
        register("ada"),
        register("bob", caller.signal),
        register("eve"),
        register("dan", caller.signal),
      ]);
      caller.abort(left);
      const outcomes = (await answers).map((answer) =>
        answer.status === "fulfilled" ? answer.value.username : answer.reason,
      );

      assert.deepEqual(outcomes, ["ada", left, "eve", left]);
      await tailer.catchUp();
      assert.equal(tailer.state.head, 2n);
      assert.deepEqual(
        (await users.list({ size: 10, token: "" })).users.map((user) => user.username).sort(),
        ["ada", "eve"],
      );
    });

    test("a write whose caller leaves once it shares a transaction is kept for those who stay, and says so", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const caller = new AbortController();
      const { users, tailer } = await openLog(
        t,
        database.withPlugin(onStatement("user_events", () => caller.abort())),
      );
      const answers = await Promise.all([
        users.register({ email: "ada@example.com", username: "ada" }, caller.signal),
        users.register({ email: "bob@example.com", username: "bob" }),
      ]);
      assert.equal(caller.signal.aborted, true);
      assert.deepEqual(await users.batchGet(answers.map((user) => user.id)), answers);
      await tailer.catchUp();
      assert.equal(tailer.state.head, 2n);
    });

    test("changes that share a transaction are dropped up to the commit once all of their callers have left", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const caller = new AbortController();
      const left = new Error("the caller has left");
      let isChanging = false;
      const { users, tailer } = await openLog(
        t,
        database.withPlugin(onStatement("user_events", () => isChanging && caller.abort(left))),
      );
      const registered = await Promise.all(
        ["ada", "bob"].map((username) => users.register({ email: `${username}@example.com`, username })),
      );
      isChanging = true;
      const answers = await Promise.allSettled(
        registered.map((user) => users.setActive(user.id, false, caller.signal)),
      );
      for (const answer of answers) assert.equal(answer.status === "rejected" && answer.reason, left);
      await tailer.catchUp();
      assert.equal(tailer.state.head, 2n);
      assert.deepEqual(await users.batchGet(registered.map((user) => user.id)), registered);
    });

    test("a call whose caller has left before it began asks the database nothing", async (t) => {
      const { database } = await openTestDatabase(t, backend);
      const { users, tailer } = await openLog(t, database);
      const gone = AbortSignal.abort(new Error("gone"));
      await assert.rejects(users.register({ email: "ada@example.com", username: "ada" }, gone), /gone/);
      await assert.rejects(users.get({ column: "username", value: "ada" }, gone));
      await tailer.catchUp();
      assert.equal(tailer.state.head, 0n);
      assert.deepEqual((await users.list({ size: 10, token: "" })).users, []);
    });
  });
}
