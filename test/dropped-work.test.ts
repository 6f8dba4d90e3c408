import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { backends } from "./support/databases.ts";
import { openLog, openTestDatabase } from "./support/event-system.ts";

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
