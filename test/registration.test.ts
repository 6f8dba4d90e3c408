import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type KyselyPlugin, type QueryId, RawNode, sql } from "kysely";
import { draftEvent } from "../src/events/event.ts";
import { appendEvents } from "../src/events/event-append.repository.ts";
import { DomainError } from "../src/platform/errors.ts";
import type { Database } from "../src/schema.ts";
import { EmailTakenError, UsernameTakenError } from "../src/users/user.errors.ts";
import { insertUsers } from "../src/users/user.repository.ts";
import { createUser, type User } from "../src/users/user.ts";
import { type Backend, backends } from "./support/databases.ts";
import { archiveEvents, readUsers, readWholeLog, replay } from "./support/event-archive.ts";
import { openLog, openTestDatabase } from "./support/event-system.ts";
import { untilSomebodyWaits } from "./support/lock-wait.ts";

/** Waits for `callBack` between the answer to a statement that has the text in it and whoever asked. */
function afterStatement(text: string, callBack: () => Promise<unknown>): KyselyPlugin {
  const ids = new Set<QueryId>();
  return {
    transformQuery({ node, queryId }) {
      if (RawNode.is(node) && node.sqlFragments.some((fragment) => fragment.includes(text))) ids.add(queryId);
      return node;
    },
    async transformResult({ result, queryId }) {
      if (ids.delete(queryId)) await callBack();
      return result;
    },
  };
}

const ada = { email: "ada@example.com", username: "ada" };
const bob = { email: "bob@example.com", username: "bob" };

/** Revisions are dense, and the events are those of the users that there are. */
async function assertConsistent(database: Database): Promise<void> {
  assert.deepEqual(replay(await readWholeLog(database)), await readUsers(database));
}

async function openArchived(t: TestContext, backend: Backend) {
  const { database } = await openTestDatabase(t, backend);
  await archiveEvents(database);
  return { database, users: (await openLog(t, database)).users };
}

for (const backend of backends) {
  describe(`registrations that share a statement, on the ${backend.name} database`, () => {
    test("each is refused for what is taken, also by one beside it, and the others are told apart", async (t) => {
      const { database, users } = await openArchived(t, backend);
      await users.register(ada);
      const answers = await Promise.allSettled([
        users.register(ada),
        users.register({ email: "other@example.com", username: "ada" }),
        users.register(bob),
        users.register({ email: "bob@example.com", username: "other" }),
      ]);
      assert.ok(answers[0]?.status === "rejected" && answers[0].reason instanceof EmailTakenError);
      assert.ok(answers[1]?.status === "rejected" && answers[1].reason instanceof UsernameTakenError);
      assert.equal(answers[2]?.status, "fulfilled");
      assert.ok(answers[3]?.status === "rejected" && answers[3].reason instanceof EmailTakenError);
      await assertConsistent(database);
    });

    // The embedded database has one session, which its statement has until it has been answered.
    const skip = backend.name === "embedded";
    test("one that finds the name free again after it was refused is registered", { skip }, async (t) => {
      const { database, users } = await openArchived(t, backend);
      const holder = await users.register(ada);
      let leaving: Promise<void> | undefined;
      const leave = () => {
        leaving ??= users.delete(holder.id);
        return leaving;
      };
      const late = await openLog(t, database.withPlugin(afterStatement("insert into user_events", leave)));
      const [again, other] = await Promise.all([late.users.register(ada), late.users.register(bob)]);
      assert.notEqual(again.id, holder.id);
      assert.deepEqual(await users.batchGet([again.id, other.id]), [again, other]);
      await assertConsistent(database);
    });

    test("those that are registered are told so where the others cannot be told why not", async (t) => {
      const { database, users } = await openArchived(t, backend);
      await users.register(ada);
      const failure = new Error("the connection broke");
      const broken = database.withPlugin(
        afterStatement("select id, email, username from users", () => Promise.reject(failure)),
      );
      const late = await openLog(t, broken);
      const [refused, registered] = await Promise.allSettled([
        late.users.register(ada),
        late.users.register(bob),
      ]);
      assert.equal(refused?.status === "rejected" && refused.reason, failure);
      assert.equal(registered?.status, "fulfilled");
      await assertConsistent(database);
    });

    test("statements that run at once, over the same names, leave a dense log with an event for each user", async (t) => {
      const { database, users } = await openArchived(t, backend);
      const processes = [users, (await openLog(t, database)).users, (await openLog(t, database)).users];
      const answers: PromiseSettledResult<unknown>[] = [];
      for (let round = 0; round < 20; round++) {
        const asked = processes.flatMap((process, place) =>
          Array.from({ length: 20 }, (_, index) => {
            const username = `round${round}_${(index * (place + 1)) % 30}`;
            return process.register({ email: `${username}@example.com`, username });
          }),
        );
        answers.push(...(await Promise.allSettled(asked)));
      }
      for (const answer of answers) {
        assert.ok(answer.status === "fulfilled" || answer.reason instanceof DomainError, String(answer));
      }
      const registered = answers.filter((answer) => answer.status === "fulfilled");
      assert.equal((await readUsers(database)).length, registered.length);
      await assertConsistent(database);
    });

    test("one that has waited for another writer goes on from where that one has left the log", {
      skip,
    }, async (t) => {
      const { database, users } = await openArchived(t, backend);
      let waiting: Promise<User> | undefined;
      await database.transaction().execute(async (transaction) => {
        const user = createUser(bob, new Date());
        await insertUsers(transaction, [user]);
        await appendEvents(transaction, [draftEvent("user_registered", user, user.createdAt)]);
        waiting = users.register(ada);
        await untilSomebodyWaits(database);
      });
      await waiting;
      assert.equal((await readWholeLog(database)).length, 2);
      await assertConsistent(database);
    });

    test("none is kept without its event", async (t) => {
      const { database, users } = await openArchived(t, backend);
      await sql`delete from stream_head`.execute(database);
      await assert.rejects(users.register(ada), /revision/);
      assert.deepEqual([...(await readUsers(database))], []);
    });
  });
}
