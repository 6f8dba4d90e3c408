import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { sql } from "kysely";
import type { RegisterUserResponse } from "../gen/users/v1/users_pb.ts";
import { openDatabaseRegistrar } from "../src/cli/database-registrar.ts";
import { createUser } from "../src/users/user.ts";
import { commandCaller } from "../src/writes/command-caller.ts";
import { readIdempotencyKey } from "../src/writes/idempotency-key.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { type EventSystem, openLog, openProcess, testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { countAdded, usersAt, withKey } from "./support/keyed-calls.ts";
import { untilSomebodyWaits } from "./support/lock-wait.ts";
import { serveLog } from "./support/serve-log.ts";
import { useDatabase } from "./support/shared-database.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

interface Entry {
  readonly actor: string;
  readonly credential: string;
  readonly procedure: string;
  readonly subject: string;
  readonly outcome: string;
  readonly reason: string;
  readonly address: string;
  readonly request_id: string;
}

async function readEntries(database: EventSystem["database"]): Promise<Entry[]> {
  const { rows } = await sql<Entry>`
    select actor, credential, procedure, subject, outcome, reason, address, request_id
    from audit_log order by id`.execute(database);
  return rows;
}

function person(name: string) {
  return { email: `${name}@example.com`, username: name };
}

async function serve(t: TestContext, system: EventSystem) {
  return usersAt(await serveLog(t, system));
}

for (const backend of backends) {
  describe(`what is kept with a write, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("is one entry for each that was made, which says who, what, to whom, from where", async (t) => {
      const { database } = await shared.renew();
      const users = await serve(t, await openLog(t, database));
      const requestId = `request-${randomUUID()}`;
      const options = { headers: { "x-request-id": requestId } };
      const { id } = await users.registerUser(person("ada"), options);
      await users.updateUser({ user: { id, email: "new@example.com" } }, options);
      await users.deactivateUser({ id: id.toUpperCase() }, options);
      await users.activateUser({ id }, options);
      await users.deleteUser({ id: id.toUpperCase() }, options);
      await users.listUsers({}, options);
      const names = ["RegisterUser", "UpdateUser", "DeactivateUser", "ActivateUser", "DeleteUser"];
      assert.deepEqual(
        await readEntries(database),
        names.map((name) => ({
          actor: "anonymous",
          credential: "",
          procedure: `users.v1.UserService/${name}`,
          subject: id,
          outcome: "OK",
          reason: "",
          address: "127.0.0.1",
          request_id: requestId,
        })),
      );
    });

    test("is an entry, and no event, where there was nothing to change", async (t) => {
      const { database } = await shared.renew();
      const users = await serve(t, await openLog(t, database));
      const { id } = await users.registerUser(person("ada"));
      const added = await countAdded(database, () => users.activateUser({ id }, withKey("k")));
      assert.deepEqual(added, { events: 0, audits: 1, keys: 1 });
      const again = await countAdded(database, () => users.activateUser({ id }, withKey("k")));
      assert.deepEqual(again, { events: 0, audits: 0, keys: 0 });
    });

    test("is nothing for those of a batch that are refused", async (t) => {
      const { database } = await shared.renew();
      const users = await serve(t, await openLog(t, database));
      const { id } = await users.registerUser(person("ada"));
      const added = await countAdded(database, async () => {
        const taken = Array.from({ length: 20 }, (_, n) =>
          users.registerUser(person("ada"), withKey(`a${n}`)),
        );
        const free = Array.from({ length: 20 }, (_, n) =>
          users.registerUser(person(`free${n}`), withKey(`b${n}`)),
        );
        const unknown = Array.from({ length: 20 }, (_, n) =>
          users.deleteUser({ id: randomUUID() }, withKey(`c${n}`)),
        );
        const moved = Array.from({ length: 20 }, (_, n) =>
          users.updateUser({ user: { id, email: `moved${n}@example.com` } }, withKey(`d${n}`)),
        );
        await Promise.all([
          ...taken.map((call) => expectError(call, { code: Code.AlreadyExists })),
          ...unknown.map((call) => expectError(call, { code: Code.NotFound })),
          ...free,
          ...moved,
        ]);
      });
      assert.deepEqual(added, { events: 40, audits: 40, keys: 40 });
      const { rows } = await sql`
        select count(*) from audit_log group by request_id having count(*) > 1`.execute(database);
      assert.deepEqual(rows, [], "each call has an id of its own");
    });

    test("of a command names the command", async (t) => {
      const { database } = await shared.renew();
      const { accounts } = await openLog(t, database);
      const caller = commandCaller("users create", ({ id }: { id: string }) => id);
      const input = { fullName: "", isActive: true, isSuperuser: false, passwordHash: "x" };
      const accountIds: string[] = [];
      for (const email of ["a@example.com", "b@example.com"]) {
        accountIds.push((await accounts.create({ email, ...input }, caller)).id);
      }
      const entries = await readEntries(database);
      assert.deepEqual(
        entries.map(({ actor, procedure, subject }) => ({ actor, procedure, subject })),
        accountIds.map((subject) => ({
          actor: "command:users create",
          procedure: "user-bridge users create",
          subject,
        })),
      );
      assert.equal(new Set(entries.map((entry) => entry.request_id)).size, 1);
    });

    // The embedded database has one process, and one session.
    const skip = backend.name === "embedded";
    test("of an import is one entry for each user that was added", { skip }, async (t) => {
      const { config, database } = await shared.renew();
      const registrar = await openDatabaseRegistrar(testConfig({ database: config }), testLogger);
      cleanUpAfter(t, registrar.close);
      const people = ["ada", "bob", "ada"].map((name) => createUser(person(name), new Date()));
      const outcomes: string[] = [];
      for await (const { kind } of registrar.register(people)) outcomes.push(kind);
      assert.deepEqual(outcomes, ["added", "added", "present"]);
      const entries = await readEntries(database);
      assert.deepEqual(
        new Set(entries.map(({ subject }) => subject)),
        new Set(people.slice(0, 2).map(({ id }) => id)),
      );
      for (const { procedure } of entries) assert.equal(procedure, "user-bridge import");
      assert.equal(entries.length, 2);
    });

    test("is written before the log is locked: a key that is waited for holds no other writer up", {
      skip,
    }, async (t) => {
      const { config, database } = await shared.renew();
      const users = await serve(t, await openLog(t, database));
      const others = (await openProcess(t, config)).users;
      const first = await users.registerUser(person("ada"));
      const { hash } = readIdempotencyKey("waited-for", "anonymous");
      let late: Promise<RegisterUserResponse> | undefined;
      const rolledBack = new Error("rolled back");
      const holding = database.transaction().execute(async (transaction) => {
        // As if another call with the key were not committed yet.
        await sql`insert into idempotency_keys values (${hash}, ${hash}, ${hash}, now())`.execute(
          transaction,
        );
        late = users.registerUser(person("bob"), withKey("waited-for"));
        await untilSomebodyWaits(database);
        await withDeadline("others' writes", others.register(person("carl")));
        await withDeadline("others' changes", others.setActive(first.id, false));
        throw rolledBack;
      });
      await assert.rejects(holding, rolledBack);
      assert.equal((await late)?.username, "bob");
    });
  });
}
