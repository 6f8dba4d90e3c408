import { type RawBuilder, sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database } from "../schema.ts";
import type { AuditEntry, AuditFilter, AuditPosition, CountedDraft } from "./audit-entry.ts";

interface AuditRow {
  id: bigint;
  occurred_at_ms: number;
  actor: string;
  credential: string;
  procedure: string;
  subject: string;
  outcome: string;
  reason: string;
  address: string;
  request_id: string;
  calls: bigint;
}

/**
 * Lists entries, newest first, behind the given place.
 *
 * A filter is in the statement only where it is asked for, so that the planner sees which index fits: there is one for
 * each of actor, subject, procedure and refusals, each in the order of a page.
 */
export async function listEntries(
  database: Database,
  filter: AuditFilter,
  behind: AuditPosition | undefined,
  limit: number,
  signal?: AbortSignal,
): Promise<AuditEntry[]> {
  const query = sql<AuditRow>`
    select id, (extract(epoch from occurred_at) * 1000)::float8 as occurred_at_ms,
      actor, credential, procedure, subject, outcome, reason, address, request_id, calls
    from audit_log where ${sql.join(toConditions(filter, behind), sql` and `)}
    order by occurred_at desc, id desc limit ${limit}`;
  const { rows } = await untilAborted(signal, () => query.execute(database));
  return rows.map(toEntry);
}

function toConditions(filter: AuditFilter, behind: AuditPosition | undefined): RawBuilder<boolean>[] {
  const conditions: RawBuilder<boolean>[] = [sql`true`];
  for (const name of ["actor", "subject", "procedure", "outcome"] as const) {
    if (filter[name] !== "") conditions.push(sql`${sql.ref(name)} = ${filter[name]}`);
  }
  if (filter.since !== undefined) conditions.push(sql`occurred_at >= ${filter.since}::timestamptz`);
  if (filter.before !== undefined) conditions.push(sql`occurred_at < ${filter.before}::timestamptz`);
  if (behind !== undefined) {
    conditions.push(sql`(occurred_at, id) < (${behind.occurredAt}::timestamptz, ${behind.id}::bigint)`);
  }
  return conditions;
}

/** Inserts entries, in one statement. Their texts must be such as PostgreSQL can store. */
export async function insertEntries(database: Database, drafts: readonly CountedDraft[]): Promise<void> {
  const rows = drafts.map(({ occurredAt, requestId, ...draft }) => ({
    ...draft,
    occurred_at: occurredAt,
    request_id: requestId,
  }));
  await sql`
    insert into audit_log
      (occurred_at, actor, credential, procedure, subject, outcome, reason, address, request_id, calls)
    select * from json_to_recordset(${JSON.stringify(rows)}::json)
      as draft(occurred_at timestamptz, actor text, credential text, procedure text, subject text, outcome text,
        reason text, address text, request_id text, calls bigint)`.execute(database);
}

/**
 * Deletes up to `limit` of the oldest entries that are older. What another process is deleting is left to it.
 *
 * @returns how many were deleted
 */
export async function deleteEntriesBefore(database: Database, before: Date, limit: number): Promise<number> {
  // Materialized: a subquery that a plan runs once a row would find others each time, and delete without a limit.
  const { numAffectedRows } = await sql`
    with old as materialized (
      select occurred_at, id from audit_log where occurred_at < ${before}::timestamptz
      order by occurred_at, id limit ${limit}::int for update skip locked
    )
    delete from audit_log using old
    where audit_log.occurred_at = old.occurred_at and audit_log.id = old.id`.execute(database);
  return Number(numAffectedRows ?? 0n);
}

function toEntry({ occurred_at_ms, request_id, ...row }: AuditRow): AuditEntry {
  return { ...row, occurredAt: new Date(occurred_at_ms), requestId: request_id };
}
