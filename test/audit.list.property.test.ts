import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { insertEntries } from "../src/audit/audit.repository.ts";
import { type AuditPage, createAuditService } from "../src/audit/audit.service.ts";
import type { AuditEntry, AuditFilter, CountedDraft } from "../src/audit/audit-entry.ts";
import { decodeAuditPageToken, encodeAuditPageToken } from "../src/audit/audit-page-token.ts";
import { deleteExpiredEntries } from "../src/audit/audit-retention.ts";
import type { Database } from "../src/schema.ts";
import { InvalidPageTokenError } from "../src/users/user.errors.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const startMs = Date.UTC(2030, 0, 1);
const word = (...words: string[]) => fc.constantFrom(...words);

/** Few values of everything, so that much is alike; times among them. */
const draft: fc.Arbitrary<CountedDraft> = fc.record({
  occurredAt: fc.integer({ min: 0, max: 20 }).map((ms) => new Date(startMs + ms)),
  actor: word("user:1", "key:2", "anonymous"),
  credential: word("", "token:7"),
  procedure: word("a.B/C", "a.B/D"),
  subject: word("", "1", "editor"),
  outcome: word("OK", "OK", "PERMISSION_DENIED", "UNAUTHENTICATED"),
  reason: word("", "PERMISSION_MISSING"),
  address: word("192.0.2.1", "2001:db8::1"),
  requestId: fc.uuid(),
  calls: fc.integer({ min: 1, max: 3 }),
});

const time = fc.option(
  fc.integer({ min: -1, max: 21 }).map((ms) => new Date(startMs + ms)),
  { nil: undefined },
);
const filter: fc.Arbitrary<AuditFilter> = fc.record({
  actor: word("", "", "user:1", "nobody"),
  subject: word("", "", "", "editor"),
  procedure: word("", "", "a.B/C"),
  outcome: word("", "", "OK", "PERMISSION_DENIED"),
  since: time,
  before: time,
});

function matches(entry: AuditEntry, wanted: AuditFilter): boolean {
  const names = ["actor", "subject", "procedure", "outcome"] as const;
  return (
    names.every((name) => wanted[name] === "" || entry[name] === wanted[name]) &&
    (wanted.since === undefined || entry.occurredAt >= wanted.since) &&
    (wanted.before === undefined || entry.occurredAt < wanted.before)
  );
}

function newestFirst(one: AuditEntry, other: AuditEntry): number {
  return other.occurredAt.getTime() - one.occurredAt.getTime() || Number(other.id - one.id);
}

const all: AuditFilter = {
  actor: "",
  subject: "",
  procedure: "",
  outcome: "",
  since: undefined,
  before: undefined,
};

for (const backend of backends) {
  describe(`the audit log on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    /** Empties the log, inserts the drafts and reads them back by plain SQL. */
    async function fill(database: Database, drafts: readonly CountedDraft[]): Promise<AuditEntry[]> {
      await sql`truncate audit_log`.execute(database);
      await insertEntries(database, drafts);
      const rows = await database.selectFrom("audit_log").selectAll().execute();
      assert.equal(rows.length, drafts.length);
      return rows.map(({ occurred_at, request_id, ...row }) => ({
        ...row,
        occurredAt: occurred_at,
        requestId: request_id,
      }));
    }

    test("pages, whatever their size, are what matches, newest first, each once", async () => {
      const { database } = await shared.renew();
      const audit = createAuditService(database);
      await fc.assert(
        fc.asyncProperty(
          fc.array(draft, { maxLength: 40 }),
          fc.array(fc.tuple(filter, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 6 }),
          async (drafts, questions) => {
            const entries = await fill(database, drafts);
            for (const [wanted, size] of questions) {
              const expected = entries.filter((entry) => matches(entry, wanted)).sort(newestFirst);
              const found: AuditEntry[] = [];
              let page: AuditPage | undefined;
              do {
                page = await audit.list(wanted, { size, token: page?.nextToken ?? "" });
                assert.ok(page.entries.length === size || page.nextToken === "");
                found.push(...page.entries);
              } while (page.nextToken !== "");
              assert.deepEqual(found, expected);
            }
          },
        ),
        { numRuns: 30 * scale },
      );
    });

    test("what is written while somebody turns pages shifts none of them", async () => {
      const { database } = await shared.renew();
      const audit = createAuditService(database);
      const entry = fc.sample(draft, { numRuns: 1, seed: 1 })[0] ?? assert.fail();
      const older = Array.from({ length: 10 }, (_, ms) => ({ ...entry, occurredAt: new Date(startMs + ms) }));
      const entries = (await fill(database, older)).sort(newestFirst);
      const first = await audit.list(all, { size: 4, token: "" });
      await insertEntries(database, [{ ...entry, occurredAt: new Date(startMs + 100) }]);
      const second = await audit.list(all, { size: 4, token: first.nextToken });
      assert.deepEqual([...first.entries, ...second.entries], entries.slice(0, 8));
    });

    test("a page has 50 entries unless another size is asked for, and never more than 1,000", async () => {
      const { database } = await shared.renew();
      const audit = createAuditService(database);
      const entry = fc.sample(draft, { numRuns: 1, seed: 1 })[0] ?? assert.fail();
      await fill(
        database,
        Array.from({ length: 1_001 }, () => entry),
      );
      assert.equal((await audit.list(all, { size: 0, token: "" })).entries.length, 50);
      const most = await audit.list(all, { size: 5_000, token: "" });
      assert.equal(most.entries.length, 1_000);
      assert.equal((await audit.list(all, { size: 1_000, token: most.nextToken })).entries.length, 1);
    });

    test("what is no page token, or no text that could be stored, is no failure of the database", async () => {
      const { database } = await shared.renew();
      const audit = createAuditService(database);
      for (const token of ["x", "AAAA", encodeAuditPageToken({ occurredAt: new Date(0), id: 1n }).slice(1)]) {
        await assert.rejects(audit.list(all, { size: 1, token }), InvalidPageTokenError);
      }
      for (const actor of ["\0", "\ud800"]) {
        assert.deepEqual(await audit.list({ ...all, actor }, { size: 1, token: "" }), {
          entries: [],
          nextToken: "",
        });
      }
    });

    test("retention deletes what is older, all of it and nothing else", async () => {
      const { database } = await shared.renew();
      await fc.assert(
        fc.asyncProperty(
          fc.array(draft, { maxLength: 30 }),
          fc.integer({ min: -1, max: 21 }),
          fc.integer({ min: 1, max: 100_000 }),
          async (drafts, cutMs, retentionMs) => {
            const entries = await fill(database, drafts);
            const now = new Date(startMs + cutMs + retentionMs);
            const deleted = await deleteExpiredEntries(database, retentionMs, now);
            const left = await database.selectFrom("audit_log").select("id").orderBy("id").execute();
            const expected = entries.filter(({ occurredAt }) => occurredAt.getTime() >= startMs + cutMs);
            assert.deepEqual(
              left.map(({ id }) => id),
              expected.map(({ id }) => id).sort((one, other) => Number(one - other)),
            );
            assert.equal(deleted, entries.length - expected.length);
          },
        ),
        { numRuns: 20 * scale },
      );
    });

    test("retention of 2,500 entries takes three batches, and stops between two when it is told to", async () => {
      const { database } = await shared.renew();
      const entry = fc.sample(draft, { numRuns: 1, seed: 1 })[0] ?? assert.fail();
      const old = { ...entry, occurredAt: new Date(startMs) };
      const now = new Date(startMs + 2);
      await fill(
        database,
        Array.from({ length: 2_500 }, () => old),
      );
      assert.equal(await deleteExpiredEntries(database, 1, now, AbortSignal.abort()), 1_000);
      assert.equal(await deleteExpiredEntries(database, 1, now), 1_500);
      assert.equal(await deleteExpiredEntries(database, 1, now), 0);
      assert.equal(await deleteExpiredEntries(database, Number.MAX_SAFE_INTEGER, now), 0);
    });
  });
}

test("a page token says where its entry stands, and no other text is one", () => {
  const position = fc.record({
    occurredAt: fc.date({ noInvalidDate: true }),
    id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  });
  fc.assert(
    fc.property(position, (behind) => {
      assert.deepEqual(decodeAuditPageToken(encodeAuditPageToken(behind)), { ...behind });
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => decodeAuditPageToken(text) === undefined));
});
