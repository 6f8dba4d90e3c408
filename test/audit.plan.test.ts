import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { CompiledQuery, Kysely, PostgresDialect, sql } from "kysely";
import { Pool, TypeOverrides } from "pg";
import { createAuditService } from "../src/audit/audit.service.ts";
import type { AuditFilter } from "../src/audit/audit-entry.ts";
import type { DatabaseConfig } from "../src/platform/config.ts";
import { int8Oid } from "../src/platform/int8.ts";
import type { Database, Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_ROWS=1000000 takes a minute. */
const rowCount = Number(process.env["TEST_ROWS"] ?? 50_000);

const startMs = Date.UTC(2030, 0, 1);
const at = (row: number) => new Date(startMs + row * 10);

const everything: AuditFilter = {
  actor: "",
  subject: "",
  procedure: "",
  outcome: "",
  since: undefined,
  before: undefined,
};

/** What people ask, and by which index it is to be answered; anything in brackets will do. */
const questions: readonly (readonly [name: string, filter: Partial<AuditFilter>, index: RegExp])[] = [
  ["everything", {}, /audit_log_pkey/],
  ["what somebody did", { actor: "user:77" }, /audit_log_actor/],
  ["what somebody rare did", { actor: "user:rare" }, /audit_log_actor/],
  ["what was done to somebody", { subject: "subject-4321" }, /audit_log_subject/],
  ["who did something rare", { procedure: "users.v1.UserService/DeleteUser" }, /audit_log_procedure/],
  ["who was refused", { outcome: "PERMISSION_DENIED" }, /audit_log_refusals/],
  ["what was done in ten seconds long ago", { since: at(1_000), before: at(2_000) }, /audit_log_pkey/],
  ["what was done before a time long ago", { before: at(1_000) }, /audit_log_pkey/],
  ["what somebody did before a time", { actor: "user:77", before: at(20_000) }, /audit_log_actor/],
  [
    "what somebody rare did to somebody",
    { actor: "user:rare", subject: "subject-1" },
    /audit_log_(actor|subject)/,
  ],
  [
    "refusals of one procedure",
    { outcome: "UNAUTHENTICATED", procedure: "users.v1.UserService/GetUser" },
    /audit_log_(refusals|procedure|pkey)/,
  ],
];

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe(`the audit log's plans among ${rowCount} entries`, () => {
    const shared = useDatabase(backend);

    test("whatever is asked, the first page and the next are read by an index, and little else", async (t) => {
      const { config, database } = await shared.renew();
      await generateEntries(database, rowCount);
      const { recorded, recording } = openRecording(t, config);
      const audit = createAuditService(recording);
      for (const [name, filter, index] of questions) {
        recorded.length = 0;
        const wanted = { ...everything, ...filter };
        const { nextToken } = await audit.list(wanted, { size: 10, token: "" });
        if (nextToken !== "") await audit.list(wanted, { size: 10, token: nextToken });
        for (const statement of recorded) {
          const { plan, rowsRead } = await explain(database, statement);
          assert.match(plan, index, `${name}\n${plan}`);
          assert.doesNotMatch(plan, /Seq Scan/, `${name}\n${plan}`);
          assert.ok(rowsRead < 1_000, `${name} reads ${rowsRead} entries\n${plan}`);
        }
      }
    });
  });
}

/** As a year leaves them: a thousand people, one in a thousand refused, one in ten thousand deletes. */
async function generateEntries(database: Database, count: number): Promise<void> {
  await sql`
    insert into audit_log
      (occurred_at, actor, credential, procedure, subject, outcome, reason, address, request_id)
    select ${new Date(startMs)}::timestamptz + n * interval '10 ms',
      'user:' || case when n % (${count}::int / 5) = 0 then 'rare' else (n % 1000)::text end, 'token:x',
      'users.v1.UserService/' || case when n % 10000 = 0 then 'DeleteUser' when n % 3 = 0 then 'GetUser' else 'UpdateUser' end,
      'subject-' || n % 9999,
      case when n % 1000 = 1 then 'PERMISSION_DENIED' when n % 1000 = 3 then 'UNAUTHENTICATED' else 'OK' end,
      '', '192.0.2.1', 'request-' || n
    from generate_series(1, ${count}::int) as n`.execute(database);
  await sql`vacuum analyze audit_log`.execute(database);
}

function openRecording(t: TestContext, config: DatabaseConfig) {
  assert.equal(config.kind, "postgres");
  const recorded: CompiledQuery[] = [];
  const types = new TypeOverrides();
  types.setTypeParser(int8Oid, BigInt);
  const recording = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: config.url, types }) }),
    log: ({ query }) => void recorded.push(query),
  });
  cleanUpAfter(t, () => recording.destroy());
  return { recorded, recording };
}

async function explain(database: Database, { sql: text, parameters }: CompiledQuery) {
  const { rows } = await database.executeQuery<Record<string, string>>(
    CompiledQuery.raw(`explain (analyze, timing off, costs off) ${text}`, [...parameters]),
  );
  const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
  const filtered = [...plan.matchAll(/Rows Removed by Filter: (\d+)/g)].map((match) => Number(match[1]));
  const given = [...plan.matchAll(/rows=(\d+)/g)].map((match) => Number(match[1]));
  return { plan, rowsRead: [...filtered, ...given].reduce((sum, rows) => sum + rows, 0) };
}
