import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { sql } from "kysely";
import { translateDatabaseError } from "../src/platform/database-errors.ts";
import { DatabaseUnavailableError, DomainError } from "../src/platform/errors.ts";
import type { Database } from "../src/schema.ts";
import { UsernameTakenError } from "../src/users/user.errors.ts";
import { insertUsers } from "../src/users/user.repository.ts";
import type { UserService } from "../src/users/user.service.ts";
import { createUser } from "../src/users/user.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { archiveEvents, readUsers, readWholeLog, replay } from "./support/event-archive.ts";
import { openLog, openProcess } from "./support/event-system.ts";
import { untilSomebodyWaits } from "./support/lock-wait.ts";
import { toPlainUser } from "./support/log-access.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";
import { checkWriteHistory, type RecordedWrite, type Told, type Write } from "./support/write-history.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

/** A call: when it is made, what it asks, and when its caller leaves, both in turns of the event loop. */
interface Call {
  readonly delay: number;
  readonly leavesAfter: number | undefined;
  /** Of a user among those that were registered at the start. */
  readonly place: number;
  readonly kind: Write["kind"];
  readonly email: string | undefined;
  readonly username: string | undefined;
  readonly isActive: boolean;
}

/** So few that most collide. The database has a rule of its own against the last two, see {@link addTrap}. */
const names = ["one", "two", "three", "four", "five", "six", "poison"];
const emailNames = names.map((name) => `${name}@example.com`);
const userCount = 4;

const calls: fc.Arbitrary<Call> = fc.record({
  delay: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(12)),
  leavesAfter: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, fc.nat(8)),
  place: fc.nat(userCount), // one more than there are: nobody
  kind: fc.constantFrom("register", "register", "update", "update", "set_active", "delete"),
  email: fc.option(fc.constantFrom(...emailNames, "no address"), { nil: undefined }),
  username: fc.option(fc.constantFrom(...names), { nil: undefined }),
  isActive: fc.boolean(),
});

/** Lets the database fail any statement that writes a row of this name: a fault that no look in advance finds. */
async function addTrap(database: Database): Promise<void> {
  await archiveEvents(database);
  await sql`
    create function refuse_poison() returns trigger language plpgsql as $$
    begin
      if new.email like 'poison%' or new.username = 'poison' then raise exception 'poison'; end if;
      return new;
    end $$`.execute(database);
  await sql`
    create trigger refuse_poison before insert or update on users
    for each row execute function refuse_poison()`.execute(database);
}

function toWrite(call: Call, ids: readonly string[]): Write {
  const id = ids[call.place] ?? "00000000-0000-7000-8000-000000000000";
  const { kind, email, username, isActive } = call;
  switch (kind) {
    case "register":
      return { kind, email: email?.includes("@") ? email : "one@example.com", username: username ?? "one" };
    case "update":
      return { kind, id, email, username };
    case "set_active":
      return { kind, id, isActive };
    case "delete":
      return { kind, id };
  }
}

async function send(users: UserService, write: Write, signal?: AbortSignal) {
  switch (write.kind) {
    case "register":
      return toPlainUser(await users.register(write, signal));
    case "update":
      return toPlainUser(await users.update(write.id, write, signal));
    case "set_active":
      return toPlainUser(await users.setActive(write.id, write.isActive, signal));
    case "delete":
      return await users.delete(write.id, signal).then(() => undefined);
  }
}

const left = new Error("the caller has left");

/** Makes calls and writes down what became of them. */
class Recorder {
  readonly calls: RecordedWrite[] = [];
  #clock = 0;

  async record(users: UserService, write: Write, signal?: AbortSignal): Promise<Told> {
    this.#clock += 1;
    const asked = this.#clock;
    const told = await send(users, write, signal).then(
      (user): Told => ({ kind: "done", user }),
      (error: unknown) => toTold(write, error),
    );
    this.#clock += 1;
    this.calls.push({ write, told, asked, answered: this.#clock });
    return told;
  }
}

function toTold(write: Write, failure: unknown): Told {
  const error = translateDatabaseError(failure);
  if (error === left) return { kind: "dropped" };
  if (error instanceof DatabaseUnavailableError) return { kind: "unknown" };
  if (error instanceof DomainError) return { kind: "refused", reason: error.reason };
  // The trap has been sprung: by this call, not by one that shared its transaction.
  assert.match(String(error), /poison/);
  assert.match(JSON.stringify(write), /poison/);
  return { kind: "dropped" };
}

async function registerAtStart(users: UserService, recorder: Recorder): Promise<string[]> {
  const told = await Promise.all(
    names.slice(0, userCount).map((name) => {
      const write = { kind: "register", email: `${name}@example.com`, username: name } as const;
      return recorder.record(users, write);
    }),
  );
  return told.map((each) => (each.kind === "done" ? each.user?.id : undefined) ?? assert.fail());
}

async function make(call: Call, users: UserService, recorder: Recorder, ids: readonly string[]) {
  for (let turn = 0; turn < call.delay; turn++) await setImmediate();
  const caller = new AbortController();
  const answer = recorder.record(users, toWrite(call, ids), caller.signal);
  if (call.leavesAfter !== undefined) {
    for (let turn = 0; turn < call.leavesAfter; turn++) await setImmediate();
    caller.abort(left);
  }
  await answer;
}

async function checkTables(database: Database, recorder: Recorder): Promise<void> {
  const log = await readWholeLog(database);
  assert.deepEqual(replay(log), await readUsers(database), "the events do not add up to the users");
  checkWriteHistory(log, recorder.calls);
}

for (const backend of backends) {
  describe(`writes that share transactions, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend, addTrap);

    test("have the outcomes and events of some order of theirs, whoever collides, fails or leaves", async (t) => {
      const { database } = await shared.renew();
      const { users } = await openLog(t, database);
      await fc.assert(
        fc.asyncProperty(fc.array(calls, { minLength: 2, maxLength: 30 }), async (plan) => {
          await shared.renew();
          const recorder = new Recorder();
          const ids = await registerAtStart(users, recorder);
          await withDeadline(
            "all answers",
            Promise.all(plan.map((call) => make(call, users, recorder, ids))),
          );
          await checkTables(database, recorder);
        }),
        { numRuns: 40 * scale },
      );
    });

    test("take effect in the order of the calls where they are of one user", async (t) => {
      const { database } = await shared.renew();
      const { users } = await openLog(t, database);
      const { id } = await users.register({ email: "one@example.com", username: "one" });
      const changes = Array.from({ length: 100 }, (_, index) => `a${index}@example.com`);
      await Promise.all(changes.map((email) => users.update(id, { email })));
      const log = await readWholeLog(database);
      assert.deepEqual(
        log.slice(1).map((event) => event.user.email),
        changes,
      );
    });

    if (backend.name === "postgres") {
      test("of two processes have the outcomes and events of some order of theirs", async (t) => {
        const { config, database } = await shared.renew();
        const sides = [await openProcess(t, config), await openProcess(t, config)] as const;
        await fc.assert(
          fc.asyncProperty(fc.array(calls, { minLength: 10, maxLength: 40 }), async (plan) => {
            await shared.renew();
            const recorder = new Recorder();
            const ids = await registerAtStart(sides[0].users, recorder);
            await withDeadline(
              "all answers",
              Promise.all(
                plan.map((call, index) => make(call, sides[index % 2 === 0 ? 0 : 1].users, recorder, ids)),
              ),
            );
            await checkTables(database, recorder);
          }),
          { numRuns: 10 * scale },
        );
      });

      test("pass a user that somebody else has locked, who gets its turn later", async (t) => {
        const { database } = await shared.renew();
        const { users } = await openLog(t, database);
        const [ada, bob] = await Promise.all(
          ["ada", "bob"].map((name) => users.register({ email: `${name}@example.com`, username: name })),
        );
        assert.ok(ada !== undefined && bob !== undefined);
        let late: Promise<unknown> | undefined;
        await database.transaction().execute(async (transaction) => {
          await transaction.selectFrom("users").select("id").where("id", "=", ada.id).forUpdate().execute();
          late = Promise.all([users.setActive(ada.id, false), users.update(ada.id, { username: "eve" })]);
          const answers = [users.setActive(bob.id, false), users.update(bob.id, { username: "bert" })];
          await withDeadline("those that nobody holds up", Promise.all(answers));
          await withDeadline("the next ones", users.setActive(bob.id, true));
        });
        await late;
        assert.deepEqual(
          (await users.batchGet([ada.id, bob.id])).map(({ username, isActive }) => [username, isActive]),
          [
            ["eve", false],
            ["bert", true],
          ],
        );
      });

      test("never give a name twice, even one that its holder has for a moment only", async (t) => {
        const { database } = await shared.renew();
        const { users } = await openLog(t, database);
        for (const leave of [
          (id: string) => users.delete(id),
          (id: string) => users.update(id, { username: "other" }),
        ]) {
          const { id } = await users.register({ email: "ada@example.com", username: "ada" });
          const rival = createUser({ email: "rival@example.com", username: "rival" }, new Date());
          let asked: Promise<PromiseSettledResult<unknown>[]> | undefined;
          await database.transaction().execute(async (transaction) => {
            await insertUsers(transaction, [rival]);
            // One transaction for both, which must wait for what becomes of the rival.
            asked = Promise.allSettled([users.update(id, { username: "rival" }), leave(id)]);
            await untilSomebodyWaits(database);
          });
          const [renamed, left] = (await asked) ?? [];
          assert.ok(renamed?.status === "rejected" && renamed.reason instanceof UsernameTakenError);
          assert.equal(left?.status, "fulfilled");
          await shared.renew();
        }
      });

      test("are there when their callers were told so, though connections break at any moment", async (t) => {
        const { config, database } = await shared.renew();
        const { users } = await openProcess(t, config);
        const recorder = new Recorder();
        const ids = await registerAtStart(users, recorder);
        let isOver = false;
        cleanUpAfter(t, () => (isOver = true));
        const killing = killNowAndThen(database, () => isOver);
        const callers = Array.from({ length: 20 }, async (_, caller) => {
          for (let turn = 0; turn < 15 * scale; turn++) {
            const username = `c${caller}t${turn}`;
            await recorder.record(users, { kind: "register", email: `${username}@example.com`, username });
            const id = ids[(caller + turn) % ids.length] ?? assert.fail();
            await recorder.record(users, { kind: "update", id, email: `u${username}@example.com` });
          }
        });
        await withDeadline("all answers", Promise.all(callers));
        isOver = true;
        const kills = await killing;
        await checkTables(database, recorder);
        const kinds = recorder.calls.map(({ told }) => told.kind);
        assert.ok(kills > 0 && kinds.includes("done") && kinds.includes("unknown"), `${kills}: ${kinds}`);
      });
    }
  });
}

/** Terminates every other connection to the database, again and again. */
async function killNowAndThen(database: Database, isOver: () => boolean): Promise<number> {
  let kills = 0;
  while (!isOver()) {
    const { rows } = await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and application_name = 'user-bridge' and state in ('active', 'idle in transaction')`
      .execute(database)
      .catch(() => ({ rows: [] }));
    kills += rows.length;
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }
  return kills;
}
