import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sql } from "kysely";
import { RoleNotFoundError } from "../src/access/role.errors.ts";
import { inTransaction } from "../src/platform/transaction.ts";
import type { Database } from "../src/schema.ts";
import { UserNotFoundError } from "../src/users/user.errors.ts";
import { lockUser } from "../src/users/user-lock.ts";
import {
  type AccessSystem,
  auditRoles,
  checkRoleEvents,
  openAccessSystems,
  readEventTypes,
} from "./support/access-system.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

const editor = { name: "editor", description: "Edits.", permissions: ["posts:write", "posts:publish"] };

for (const backend of backends) {
  describe(`roles on the ${backend.name} database`, () => {
    const shared = useDatabase(backend, auditRoles);

    test("of many concurrent assignments of one role to one user, one is a change and an event", async (t) => {
      const systems = await openAccessSystems(t, shared, 3);
      const [{ database, roles, addUser }] = systems;
      await roles.create(editor);
      const id = await addUser();
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) => at(systems, index).roles.assign(id, "editor")),
      );
      for (const answer of answers) assert.deepEqual(answer.roles, ["editor", "user"]);
      assert.deepEqual(await readEventTypes(database, id), ["user_registered", "user_updated"]);
      await Promise.all(
        Array.from({ length: 12 }, (_, index) => at(systems, index).roles.unassign(id, "editor")),
      );
      assert.deepEqual(await readEventTypes(database, id), [
        "user_registered",
        "user_updated",
        "user_updated",
      ]);
    });

    test("a role that is deleted while it is assigned is nobody's, and each change is one event", async (t) => {
      const systems = await openAccessSystems(t, shared, 2, 3);
      const [{ database, roles, addUser }] = systems;
      const ids = await Promise.all(Array.from({ length: 10 }, () => addUser()));
      for (let round = 0; round < 5; round++) {
        await roles.create(editor);
        const assignments = ids.map((id, index) => at(systems, index).roles.assign(id, "editor"));
        const deletion = at(systems, round).roles.delete("editor");
        const outcomes = await Promise.allSettled(assignments);
        await deletion;
        for (const outcome of outcomes) {
          assert.ok(outcome.status === "fulfilled" || outcome.reason instanceof RoleNotFoundError);
        }
        for (const id of ids) assert.deepEqual((await roles.getUserRoles(id)).roles, ["user"]);
      }
      await checkRoleEvents(database);
    });

    test("a user who is deleted while given a role is gone, with the events in order", async (t) => {
      const systems = await openAccessSystems(t, shared, 2);
      const [{ database, roles, addUser, users }] = systems;
      await roles.create(editor);
      const ids = await Promise.all(Array.from({ length: 10 }, () => addUser()));
      const calls = ids.map(async (id, index) => {
        const [assigned] = await Promise.allSettled([
          at(systems, index).roles.assign(id, "editor"),
          users.delete(id),
        ]);
        const isAssigned = assigned.status === "fulfilled";
        assert.ok(isAssigned || assigned.reason instanceof UserNotFoundError);
        assert.deepEqual(await readEventTypes(database, id), [
          "user_registered",
          ...(isAssigned ? ["user_updated"] : []),
          "user_deleted",
        ]);
      });
      await Promise.all(calls);
      await checkRoleEvents(database);
    });

    test("a role that more users have than one transaction takes is taken from each, with one event", async (t) => {
      const [{ database, roles, addUser }] = await openAccessSystems(t, shared, 1, 3);
      await roles.create(editor);
      await roles.create({ ...editor, name: "writer" });
      const ids = await Promise.all(Array.from({ length: 9 }, () => addUser()));
      for (const id of ids) await roles.assign(id, "editor");
      for (const id of ids.slice(0, 4)) await roles.assign(id, "writer");
      const before = await readEventTypes(database);
      await roles.delete("editor");
      const after = await readEventTypes(database);
      assert.deepEqual(
        after.slice(before.length),
        ids.map(() => "user_updated"),
      );
      for (const [index, id] of ids.entries()) {
        assert.deepEqual((await roles.getUserRoles(id)).roles, index < 4 ? ["user", "writer"] : ["user"]);
      }
      await assert.rejects(roles.delete("editor"), RoleNotFoundError);
      await checkRoleEvents(database);
    });

    test("an assignment whose caller has left changes nothing", async (t) => {
      const [{ database, roles, addUser }] = await openAccessSystems(t, shared, 1);
      await roles.create(editor);
      const id = await addUser();
      const left = new Error("left");
      await assert.rejects(roles.assign(id, "editor", AbortSignal.abort(left)), left);
      await assert.rejects(roles.delete("editor", AbortSignal.abort(left)), left);
      assert.deepEqual((await roles.getUserRoles(id)).roles, ["user"]);
      assert.deepEqual(await readEventTypes(database), ["user_registered"]);
    });

    test("concurrent look-ups are each answered with their own user, superusers and strangers among them", async (t) => {
      const [{ roles, addUser }] = await openAccessSystems(t, shared, 1);
      await roles.create(editor);
      const [plain, chief, given] = [await addUser(), await addUser(true), await addUser()];
      await roles.assign(given, "editor");
      const stranger = crypto.randomUUID();
      const [one, two, three, four, five] = await Promise.allSettled(
        [plain, chief.toUpperCase(), given, stranger, "nobody \0 \ud800"].map((id) => roles.getUserRoles(id)),
      );
      assert.deepEqual(answerOf(one), { userId: plain, roles: ["user"], permissions: ["read"] });
      assert.deepEqual(answerOf(two), {
        userId: chief,
        roles: ["admin", "user"],
        permissions: ["delete", "read", "write"],
      });
      assert.deepEqual(answerOf(three), {
        userId: given,
        roles: ["editor", "user"],
        permissions: ["posts:publish", "posts:write", "read"],
      });
      assert.ok(four?.status === "rejected" && four.reason instanceof UserNotFoundError);
      assert.ok(five?.status === "rejected" && five.reason instanceof UserNotFoundError);
    });

    test("the database itself refuses to store an implied role", async (t) => {
      const [{ database, addUser }] = await openAccessSystems(t, shared, 1);
      const id = await addUser();
      for (const role of ["user", "admin"]) {
        await assert.rejects(
          sql`insert into user_roles (user_id, role) values (${id}, ${role})`.execute(database),
          /user_roles_not_implied/,
        );
      }
    });

    if (backend.name === "postgres") {
      test("a deletion that comes during an assignment waits for it, then takes the role away", async (t) => {
        const systems = await openAccessSystems(t, shared, 2);
        const [{ database, roles, addUser }] = systems;
        await roles.create(editor);
        const id = await addUser();
        const { assignment, deletion } = await whileLocked(database, id, async () => {
          const assignment = at(systems, 0).roles.assign(id, "editor");
          await untilWaiting(database, 1);
          const deletion = at(systems, 1).roles.delete("editor");
          await untilWaiting(database, 2);
          return { assignment, deletion };
        });
        assert.deepEqual((await assignment).roles, ["editor", "user"]);
        await deletion;
        assert.deepEqual((await roles.getUserRoles(id)).roles, ["user"]);
        assert.deepEqual(await readEventTypes(database, id), [
          "user_registered",
          "user_updated",
          "user_updated",
        ]);
      });

      test("an assignment that comes during a deletion waits for it, and then there is no such role", async (t) => {
        const systems = await openAccessSystems(t, shared, 2);
        const [{ database, roles, addUser }] = systems;
        await roles.create(editor);
        const [holder, other] = [await addUser(), await addUser()];
        await roles.assign(holder, "editor");
        const { assignment, deletion } = await whileLocked(database, holder, async () => {
          const deletion = at(systems, 0).roles.delete("editor");
          await untilWaiting(database, 1);
          const assignment = assert.rejects(at(systems, 1).roles.assign(other, "editor"), RoleNotFoundError);
          await untilWaiting(database, 2);
          return { assignment, deletion };
        });
        await Promise.all([deletion, assignment]);
        assert.deepEqual(await readEventTypes(database, other), ["user_registered"]);
        await checkRoleEvents(database);
      });
    }
  });
}

function at(systems: readonly [AccessSystem, ...AccessSystem[]], index: number): AccessSystem {
  return systems[index % systems.length] ?? systems[0];
}

function answerOf(outcome: PromiseSettledResult<unknown> | undefined): unknown {
  assert.equal(outcome?.status, "fulfilled");
  return outcome.value;
}

/** Starts work while a user's row is locked; the lock is gone when it returns. (Wrapped: what was started is awaited later.) */
function whileLocked<Started extends object>(
  database: Database,
  userId: string,
  start: () => Promise<Started>,
): Promise<Started> {
  return inTransaction(database, async (transaction) => {
    await lockUser(transaction, userId);
    return start();
  });
}

/** Waits until so many transactions of this database wait for a row. */
async function untilWaiting(database: Database, count: number): Promise<void> {
  const giveUp = new AbortController();
  async function look(): Promise<void> {
    for (let waiting = 0; waiting < count && !giveUp.signal.aborted; ) {
      const { rows } = await sql<{ waiting: number }>`
        select count(*)::int as waiting from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(database);
      waiting = rows[0]?.waiting ?? 0;
    }
  }
  try {
    await withDeadline(`${count} waiting transactions`, look());
  } finally {
    giveUp.abort();
  }
}
