import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { CallerLeftError } from "../src/platform/caller-left.ts";
import { runFor, type Work } from "../src/platform/current-work.ts";
import { type OpenDatabase, openDatabase } from "../src/platform/database.ts";
import { DatabaseBusyError } from "../src/platform/errors.ts";
import type { ObservedQuery, ObserveQuery } from "../src/platform/query-observer.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { withDeadline } from "./support/with-deadline.ts";

type Open = OpenDatabase<Record<string, never>>;

interface Options {
  /** Undefined: as many as come. */
  readonly maxWaiting?: number;
  readonly observeQuery?: ObserveQuery;
}

/** A database of one connection, so that who has it keeps all others waiting. */
async function open(
  t: TestContext,
  backend: Backend,
  { maxWaiting, observeQuery }: Options = {},
): Promise<Open> {
  const { config, drop } = await backend.create();
  cleanUpAfter(t, drop);
  const bounds = maxWaiting === undefined ? {} : { maxWaiting };
  const narrow =
    config.kind === "postgres" ? { ...config, poolSize: 1, ...bounds } : { ...config, ...bounds };
  const opened = await openDatabase<Record<string, never>>(narrow, testLogger, observeQuery);
  cleanUpAfter(t, opened.close);
  return opened;
}

/** One who waits, and leaves. */
class Caller implements Work {
  readonly caller: { aborted: boolean; reason: Error } = { aborted: false, reason: new Error("left") };
  readonly spans = [];

  leave(): void {
    this.caller.aborted = true;
  }
}

const askFor = (work: Work, { queries }: Open, statement = sql`select 1 as one`) =>
  runFor(work, () => statement.execute(queries));

/** Takes the one connection. @returns gives it back */
async function occupy({ queries }: Open): Promise<() => Promise<void>> {
  const taken = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const held = queries.connection().execute(async () => {
    taken.resolve();
    await released.promise;
  });
  await taken.promise;
  return async () => {
    released.resolve();
    await held;
  };
}

async function untilWaiting({ pool }: Open, count: number): Promise<void> {
  const poll = async (): Promise<void> => {
    while (pool.waiting !== count) await setImmediate();
  };
  await withDeadline(`${count} who wait`, poll());
}

for (const backend of backends) {
  describe(`a busy database, here the ${backend.name} one`, () => {
    test("refuses who comes when as many wait as may, and nobody who works in the background", async (t) => {
      const database = await open(t, backend, { maxWaiting: 2 });
      const release = await occupy(database);
      const waiting = [1, 2].map(() => askFor(new Caller(), database));
      await untilWaiting(database, 2);

      await assert.rejects(
        askFor(new Caller(), database),
        (error) =>
          error instanceof DatabaseBusyError &&
          error.kind === "resource_exhausted" &&
          error.reason === "DATABASE_BUSY" &&
          error.retryAfterMs > 0,
      );
      const background = [
        sql`select 1`.execute(database.queries),
        askFor(Object.assign(new Caller(), { inBackground: true }), database),
      ];
      await untilWaiting(database, 4);
      await release();
      await Promise.all([...waiting, ...background]);
      assert.deepEqual({ ...database.pool }, { max: 1, size: 1, idle: 1, waiting: 0 });
    });

    test("keeps no place for who leaves while it waits, and is sent nothing for them", async (t) => {
      const sent: string[] = [];
      const database = await open(t, backend, {
        maxWaiting: 1,
        observeQuery: ({ sql: text }) => void sent.push(text),
      });
      const release = await occupy(database);
      const leaving = new Caller();
      const left = askFor(leaving, database, sql`select 'never'`);
      await untilWaiting(database, 1);
      leaving.leave();
      await assert.rejects(left, CallerLeftError);
      assert.equal(database.pool.waiting, 0);

      const next = askFor(new Caller(), database, sql`select 'next'`);
      await untilWaiting(database, 1);
      await release();
      await next;
      await assert.rejects(askFor(leaving, database, sql`select 'never'`), CallerLeftError);
      assert.deepEqual(sent, ["select 'next'"]);
    });

    test("serves those who stay in the order in which they came", async (t) => {
      const database = await open(t, backend);
      const release = await occupy(database);
      const order: number[] = [];
      const callers = Array.from({ length: 9 }, () => new Caller());
      const answers = callers.map((caller, index) =>
        askFor(caller, database).then(
          () => void order.push(index),
          () => {},
        ),
      );
      await untilWaiting(database, 9);
      for (const index of [0, 4, 8]) callers[index]?.leave();
      await release();
      await Promise.all(answers);
      assert.deepEqual(order, [1, 2, 3, 5, 6, 7]);
    });

    test("rolls a transaction back whose caller leaves in its midst, and is clean for the next", async (t) => {
      const database = await open(t, backend);
      const { queries } = database;
      await sql`create table notes (text text)`.execute(queries);
      const caller = new Caller();
      const write = runFor(caller, () =>
        queries.transaction().execute(async (transaction) => {
          await sql`insert into notes values ('kept?')`.execute(transaction);
          caller.leave();
          await sql`select 1`.execute(transaction).catch(() => {});
        }),
      );
      await assert.rejects(write, CallerLeftError);
      const { rows } = await sql`select * from notes`.execute(queries);
      assert.deepEqual(rows, []);
      assert.equal(database.pool.idle, 1);
    });

    test("is observed: each statement, for whom, and how it has ended", async (t) => {
      const seen: (Pick<ObservedQuery, "work"> & { sql: string; failed: boolean })[] = [];
      const { queries } = await open(t, backend, {
        observeQuery: ({ sql: text, work }) => {
          return (failure) => void seen.push({ sql: text, work, failed: failure !== undefined });
        },
      });
      const caller = new Caller();
      await runFor(caller, () =>
        queries.transaction().execute((transaction) => sql`select 1`.execute(transaction)),
      );
      await assert.rejects(sql`select 1 / 0`.execute(queries));
      assert.deepEqual(seen, [
        { sql: "begin", work: caller, failed: false },
        { sql: "select 1", work: caller, failed: false },
        { sql: "commit", work: caller, failed: false },
        { sql: "select 1 / 0", work: undefined, failed: true },
      ]);
    });
  });
}
