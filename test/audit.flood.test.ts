import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { openRefusalAudit } from "../src/audit/refusal-audit.ts";
import { defaultRefusalBounds, RefusalBook, type RefusalBounds } from "../src/audit/refusal-book.ts";
import type { Database } from "../src/schema.ts";
import type { AuditDraft } from "../src/writes/write-record.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createDatabaseGate } from "./support/database-gate.ts";
import { backends } from "./support/databases.ts";
import { createLogLines } from "./support/log-lines.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

const startMs = Date.UTC(2030, 0, 1);

function refusal(overrides: Partial<AuditDraft> = {}): AuditDraft {
  return {
    occurredAt: new Date(startMs),
    actor: "anonymous",
    credential: "",
    procedure: "users.v1.UserService/ListUsers",
    subject: "",
    outcome: "UNAUTHENTICATED",
    reason: "CREDENTIAL_INVALID",
    address: "192.0.2.1",
    requestId: "request",
    ...overrides,
  };
}

/** Small enough to be filled. */
const bounds: RefusalBounds = {
  maxWaiting: 100,
  all: { atOnce: 50, perSecond: 10 },
  address: { atOnce: 20, perSecond: 2 },
  maxKinds: 10,
  countingMs: 60_000,
};

/** Writes down all that there is. */
function takeAll(book: RefusalBook, nowMs: number) {
  const entries = book.next(Number.POSITIVE_INFINITY, nowMs, true);
  book.written(entries.length);
  return entries;
}

describe("a book of refusals", () => {
  test("counts every call exactly once, whatever comes, in no more entries than it may", () => {
    const given = fc.record({
      waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 90_000 })),
      procedure: fc.integer({ min: 1, max: 30 }).map((number) => `a.B/C${number}`),
      address: fc.integer({ min: 1, max: 200 }).map((number) => `192.0.2.${number}`),
      calls: fc.integer({ min: 1, max: 60 }),
      takes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(given, { maxLength: 100 }), (steps) => {
        const book = new RefusalBook(bounds, startMs);
        let nowMs = startMs;
        let called = 0;
        let written = 0;
        let alone = 0;
        for (const { waitMs, procedure, address, calls, takes } of steps) {
          nowMs += waitMs;
          for (let call = 0; call < calls; call++) {
            book.add(refusal({ occurredAt: new Date(nowMs), procedure, address }));
          }
          called += calls;
          assert.ok(book.waiting <= bounds.maxWaiting + bounds.maxKinds + 1);
          if (!takes) continue;
          const entries = book.next(30, nowMs);
          book.written(entries.length);
          written += entries.reduce((sum, entry) => sum + entry.calls, 0);
          alone += entries.filter((entry) => entry.actor !== "").length;
        }
        assert.equal(written + book.countCalls(), called);
        const rest = takeAll(book, nowMs);
        alone += rest.filter((entry) => entry.actor !== "").length;
        assert.equal(written + rest.reduce((sum, entry) => sum + entry.calls, 0), called);
        assert.ok(book.isEmpty);
        const { atOnce, perSecond } = bounds.all;
        assert.ok(alone <= atOnce + (perSecond * (nowMs - startMs)) / 1_000);
      }),
      { numRuns: 300 },
    );
  });

  test("keeps what is everybody's for others when one address uses up its share", () => {
    const book = new RefusalBook(bounds, startMs);
    for (let call = 0; call < 1_000; call++) book.add(refusal({ address: "192.0.2.66" }));
    book.add(refusal({ address: "192.0.2.1", requestId: "quiet" }));
    const entries = takeAll(book, startMs);
    assert.equal(entries.length, 20 + 1 + 1);
    assert.ok(entries.some((entry) => entry.requestId === "quiet" && entry.calls === 1));
    const counted = entries.filter((entry) => entry.calls > 1);
    assert.deepEqual(counted, [
      {
        ...refusal({ actor: "", requestId: "", address: "192.0.2.66" }),
        calls: 980,
      },
    ]);
  });

  test("says no address where they were too many, and no more than DROPPED where even the kinds were", () => {
    const book = new RefusalBook(bounds, startMs);
    for (let call = 0; call < 1_000; call++) {
      book.add(refusal({ address: `2001:db8::${call.toString(16)}`, procedure: `a.B/C${call % 20}` }));
    }
    const entries = takeAll(book, startMs).filter((entry) => entry.actor === "");
    assert.ok(entries.every((entry) => entry.address === ""));
    assert.equal(entries.length, 11);
    const dropped = entries.filter((entry) => entry.reason === "DROPPED");
    assert.equal(dropped.length, 1);
    assert.equal(dropped[0]?.procedure, "");
    assert.equal(
      entries.reduce((sum, entry) => sum + entry.calls, 0),
      950,
    );
  });

  test("counts for a minute, then begins anew", () => {
    const book = new RefusalBook({ ...bounds, all: { atOnce: 0, perSecond: 0 } }, startMs);
    for (const second of [0, 59, 60, 61]) {
      const occurredAt = new Date(startMs + second * 1_000);
      book.add(refusal({ occurredAt }));
      const entries = book.next(10, occurredAt.getTime());
      book.written(entries.length);
      assert.deepEqual(
        entries.map((entry) => entry.calls),
        second === 60 ? [3] : [],
      );
    }
  });

  test("under a flood from anywhere for a day makes no more entries than the disk can bear", () => {
    const book = new RefusalBook(defaultRefusalBounds, startMs);
    const days = 0.1;
    let entries = 0;
    for (let second = 0; second < 86_400 * days; second++) {
      const nowMs = startMs + second * 1_000;
      for (let call = 0; call < 100; call++) {
        const address = `10.${second % 256}.${call}.${(second * call) % 256}`;
        book.add(refusal({ occurredAt: new Date(nowMs), address }));
      }
      const batch = book.next(500, nowMs);
      book.written(batch.length);
      entries += batch.length;
    }
    assert.ok(entries < 5_000 + 21 * 86_400 * days, `${entries} entries`);
  });
});

for (const backend of backends) {
  describe(`the audit of refusals on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function open(t: TestContext, settings: { closeTimeoutMs?: number } = {}) {
      const { database } = await shared.renew();
      await sql`truncate audit_log`.execute(database);
      const gate = createDatabaseGate();
      const log = createLogLines();
      const audit = openRefusalAudit({
        database: database.withPlugin(gate.plugin),
        logger: log.logger,
        intervalMs: 10,
        ...settings,
      });
      cleanUpAfter(t, () => {
        gate.open();
        return audit.close();
      });
      return { database, gate, log, audit };
    }

    async function countCalls(database: Database) {
      const { rows } = await sql<{ calls: number; entries: number; longest: number }>`
        select coalesce(sum(calls), 0)::int as calls, count(*)::int as entries,
          coalesce(max(length(audit_log::text)), 0) as longest
        from audit_log`.execute(database);
      return rows[0] ?? assert.fail();
    }

    async function untilCalls(database: Database, calls: number): Promise<void> {
      const seen = (async () => {
        while ((await countCalls(database)).calls < calls) await new Promise((wake) => setTimeout(wake, 10));
      })();
      await withDeadline(`${calls} refusals`, seen);
    }

    test("writes what it is told, soon, every field of it", async (t) => {
      const { database, audit } = await open(t);
      const draft = refusal({ subject: "ada@example.com", credential: "ubk_abcd", requestId: "quoted" });
      audit.refuse(draft);
      await untilCalls(database, 1);
      const row = await database.selectFrom("audit_log").selectAll().executeTakeFirstOrThrow();
      const { id, occurred_at, request_id, calls, ...rest } = row;
      assert.deepEqual({ ...rest, occurredAt: occurred_at, requestId: request_id }, draft);
      assert.equal(calls, 1n);
    });

    test("a full batch does not wait", async (t) => {
      const { database, audit } = await open(t);
      for (let call = 0; call < 700; call++) audit.refuse(refusal());
      await untilCalls(database, 700);
    });

    test("what nobody could store is stored as far as it can be", async (t) => {
      const { database, audit } = await open(t);
      audit.refuse(refusal({ subject: `\0\ud800${"x".repeat(100_000)}`, credential: "a\0b" }));
      audit.refuse(refusal({ requestId: "next" }));
      await untilCalls(database, 2);
      const { longest } = await countCalls(database);
      assert.ok(longest < 2_000, `an entry of ${longest} characters`);
    });

    for (const how of ["failing", "frozen"] as const) {
      test(`a flood while the database is ${how} is held up by nothing, bounded, and counted in the end`, async (t) => {
        const { database, gate, audit } = await open(t);
        gate.shut(how);
        const calls = 200_000;
        const heapBefore = process.memoryUsage().heapUsed;
        const began = performance.now();
        let longestMs = 0;
        for (let call = 0; call < calls; call++) {
          const before = performance.now();
          audit.refuse(refusal({ occurredAt: new Date(), address: `10.0.${call % 256}.${call % 199}` }));
          longestMs = Math.max(longestMs, performance.now() - before);
          // As calls arrive: timers get their turn.
          if (call % 1_000 === 0) await new Promise((wake) => setImmediate(wake));
        }
        const tookMs = performance.now() - began;
        const grownMib = (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20;
        t.diagnostic(
          `${Math.round((tookMs / calls) * 1e6)} ns a refusal, at most ${longestMs.toFixed(1)} ms; heap ${grownMib.toFixed(0)} MiB`,
        );
        assert.ok(tookMs < 60_000);
        gate.open();
        await audit.close();
        const kept = await countCalls(database);
        assert.equal(kept.calls, calls);
        assert.ok(kept.entries < 6_100, `${kept.entries} entries`);
      });
    }

    test("what a closing process cannot write any more is counted in its log", async (t) => {
      const { gate, log, audit } = await open(t, { closeTimeoutMs: 50 });
      gate.shut("failing");
      for (let call = 0; call < 30; call++) audit.refuse(refusal());
      await audit.close();
      assert.ok(log.lines.some((line) => line["lost"] === 30));
    });

    test("a close does not wait for a database that does not answer", async (t) => {
      const { gate, log, audit } = await open(t, { closeTimeoutMs: 50 });
      gate.shut("frozen");
      audit.refuse(refusal());
      await withDeadline("the close", audit.close(), 5_000);
      assert.ok(log.lines.some((line) => line["lost"] === 1));
    });

    test("a database that is away is complained of once, not once a second", async (t) => {
      const { database, gate, log, audit } = await open(t);
      gate.shut("failing");
      audit.refuse(refusal());
      const before = gate.statements();
      while (gate.statements() < before + 5) await new Promise((wake) => setTimeout(wake, 5));
      assert.equal(log.lines.filter((line) => line.msg.includes("could not be written")).length, 1);
      gate.open();
      await untilCalls(database, 1);
    });
  });
}
