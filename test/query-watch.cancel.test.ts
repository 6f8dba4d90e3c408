import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { AnswerGivenUpError, CallerLeftError } from "../src/platform/caller-left.ts";
import { runFor, type Work } from "../src/platform/current-work.ts";
import { openDatabase } from "../src/platform/database.ts";
import { isDatabaseUnavailable } from "../src/platform/database-errors.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { startOwnPostgres, whyNoOwnPostgres } from "./support/own-postgres.ts";
import { createSeededRandom } from "./support/seeded-random.ts";
import { openSideDoor } from "./support/side-door.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

class Caller implements Work {
  readonly caller = { aborted: false, reason: new Error("left") };
  readonly spans = [];
}

async function openPool(t: TestContext, url: string, poolSize: number) {
  const opened = await openDatabase<{ notes: { text: string } }>(
    { kind: "postgres", url, poolSize },
    testLogger,
  );
  cleanUpAfter(t, opened.close);
  return opened;
}

async function open(t: TestContext, backend: Backend, poolSize: number) {
  const { config, drop } = await backend.create();
  cleanUpAfter(t, drop);
  assert.ok(config.kind === "postgres");
  const side = await openSideDoor(t, config.url);
  return { ...(await openPool(t, config.url, poolSize)), untilRunning: side.untilRunning };
}

// PGlite's statements cannot be cancelled.
for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe("a statement in PostgreSQL", () => {
    test("is cancelled when its caller leaves, and its connection is as good as before", async (t) => {
      const { queries, pool, untilRunning } = await open(t, backend, 1);
      const caller = new Caller();
      const sleep = runFor(caller, () => sql`select pg_sleep(600)`.execute(queries));
      sleep.catch(() => {});
      await untilRunning("pg_sleep", 1);
      caller.caller.aborted = true;
      await assert.rejects(withDeadline("the cancellation", sleep), (error) => {
        assert.ok(error instanceof CallerLeftError);
        assert.equal((error.cause as { code?: string }).code, "57014");
        assert.equal(isDatabaseUnavailable(error), false);
        return true;
      });
      await untilRunning("pg_sleep", 0);
      await sql`select 1`.execute(queries);
      assert.deepEqual({ ...pool }, { max: 1, size: 1, idle: 1, waiting: 0 });
    });

    test("is cancelled in a transaction, of which nothing is kept", async (t) => {
      const { queries, pool, untilRunning } = await open(t, backend, 1);
      await sql`create table notes (text text)`.execute(queries);
      const caller = new Caller();
      const write = runFor(caller, () =>
        queries.transaction().execute(async (transaction) => {
          await sql`insert into notes values ('kept?')`.execute(transaction);
          await sql`select pg_sleep(600)`.execute(transaction);
        }),
      );
      write.catch(() => {});
      await untilRunning("pg_sleep", 1);
      caller.caller.aborted = true;
      await assert.rejects(withDeadline("the cancellation", write), CallerLeftError);
      assert.deepEqual(await queries.selectFrom("notes").selectAll().execute(), []);
      assert.deepEqual({ ...pool }, { max: 1, size: 1, idle: 1, waiting: 0 });
    });

    test("is not cancelled where nobody in particular waits for it", async (t) => {
      const { queries, untilRunning } = await open(t, backend, 2);
      const caller = new Caller();
      const sleep = runFor(caller, () => sql`select pg_sleep(600)`.execute(queries));
      sleep.catch(() => {});
      const background = sql<{ slept: boolean }>`select true as slept from pg_sleep(0.5)`.execute(queries);
      await untilRunning("pg_sleep", 2);
      caller.caller.aborted = true;
      await assert.rejects(sleep, CallerLeftError);
      assert.deepEqual((await background).rows, [{ slept: true }]);
    });

    test("is never cancelled for somebody else who had the connection before", async (t) => {
      const { queries, pool } = await open(t, backend, 3);
      const random = createSeededRandom(1);
      let left = 0;
      const callers = Array.from({ length: 20 }, async () => {
        for (let turn = 0; turn < 30 * scale; turn++) {
          const caller = new Caller();
          const leavesAfterMs = random.integer(0, 150);
          const sleepsMs = random.integer(0, 100);
          const timer = setTimeout(() => {
            caller.caller.aborted = true;
          }, leavesAfterMs);
          await runFor(caller, () => sql`select pg_sleep(${sleepsMs / 1_000})`.execute(queries)).catch(
            (error: unknown) => {
              // Whoever still waits hears of no cancellation.
              assert.ok(error instanceof CallerLeftError && caller.caller.aborted, String(error));
              left += 1;
            },
          );
          clearTimeout(timer);
        }
      });
      let isOver = false;
      const stayer = (async () => {
        while (!isOver) await sql`select pg_sleep(0.001)`.execute(queries);
      })();
      await withDeadline("all answers", Promise.all(callers), 120_000);
      isOver = true;
      await stayer;
      assert.ok(left > 0);
      assert.equal(pool.idle, pool.size);
    });
  });
}

describe("a PostgreSQL that is frozen", { skip: whyNoOwnPostgres }, () => {
  test("does not hold up a process that ends", async (t) => {
    const postgres = await startOwnPostgres();
    cleanUpAfter(t, postgres.close);
    // What is frozen cannot end.
    cleanUpAfter(t, postgres.thaw);
    const { queries, close } = await openPool(t, postgres.url, 3);
    await Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.05)`.execute(queries)));
    postgres.freeze();
    const lost = [1, 2].map(() => sql`select 1`.execute(queries));
    const outcomes = Promise.allSettled(lost);
    await setImmediate();
    await withDeadline("the close", close());
    assert.ok((await outcomes).every(({ status }) => status === "rejected"));
  });

  test("keeps no connection of the pool for callers who have left", async (t) => {
    const postgres = await startOwnPostgres();
    cleanUpAfter(t, postgres.close);
    // What is frozen cannot end.
    cleanUpAfter(t, postgres.thaw);
    const { queries, pool } = await openPool(t, postgres.url, 2);
    await Promise.all([1, 2].map(() => sql`select pg_sleep(0.05)`.execute(queries)));
    assert.equal(pool.size, 2);

    postgres.freeze();
    const caller = new Caller();
    const lost = [
      runFor(caller, () => sql`select 1`.execute(queries)),
      runFor(caller, () =>
        queries.transaction().execute((transaction) => sql`select 1`.execute(transaction)),
      ),
      runFor(caller, () => sql`select 2`.execute(queries)),
    ];
    const outcomes = Promise.allSettled(lost);
    await setImmediate();
    assert.equal(pool.waiting, 1);
    caller.caller.aborted = true;
    const errors = (await withDeadline("the ends", outcomes)).map(
      (outcome) => outcome.status === "rejected" && outcome.reason,
    );
    assert.ok(errors[0] instanceof AnswerGivenUpError, String(errors[0]));
    assert.ok(errors[1] instanceof AnswerGivenUpError, String(errors[1]));
    assert.ok(errors[2] instanceof CallerLeftError, String(errors[2]));
    assert.ok(!errors.some(isDatabaseUnavailable));
    assert.deepEqual({ ...pool }, { max: 2, size: 0, idle: 0, waiting: 0 });

    postgres.thaw();
    await withDeadline(
      "answers of the server that goes on",
      Promise.all([1, 2, 3].map(() => sql`select 1`.execute(queries))),
    );
    assert.equal(pool.idle, pool.size);
  });
});
