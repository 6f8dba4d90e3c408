import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { RecordRows } from "../writes/record-rows.ts";
import { isKeyFree } from "../writes/repetitions.ts";
import type { WriteRecord } from "../writes/write-record.ts";
import type { Commit } from "./committed-events.ts";
import type { EventDraft, LoggedEvent } from "./event.ts";

/** A write as its event tells of it, and what is kept with it, at the time of the event. */
export interface DraftedWrite {
  readonly event: EventDraft;
  readonly record: WriteRecord | undefined;
}

/** What became of changes that were told by drafts. */
export interface AppendOutcome {
  /** The ids of the users for which nothing was changed. */
  readonly unchanged: ReadonlySet<string>;
  /** What has been appended, if anything: good once the statement's transaction is committed. */
  readonly commit: Commit | undefined;
}

/**
 * Makes the changes that drafts tell of, appends the drafts whose changes were made, in the order given, and keeps
 * their records: one statement. On a connection without a transaction it commits by itself: the lock on the log's
 * head, which makes revisions dense and puts them in commit order, is held neither for a round trip nor while users
 * and records are written.
 *
 * The batch is one JSON parameter: the statement's text is the same for any number of events.
 *
 * A draft whose idempotency key is there already is left out, as if its change had found nothing to do.
 *
 * @param change SQL that writes, reading the relation `draft` ({@link EventLog.writeDrafted} has its columns), and
 * returns the `user_id`s for which it has changed something
 * @param records of writes that are made already; then those of drafts do not count
 */
export async function changeAndAppend(
  connection: Database,
  drafts: readonly DraftedWrite[],
  change: RawBuilder<unknown>,
  records: readonly WriteRecord[] = [],
): Promise<AppendOutcome> {
  const recordRows = new RecordRows();
  const given = JSON.stringify([
    ...drafts.map((draft) => toRow(draft, recordRows)),
    ...records.map((record) => recordRows.add(record)),
  ]);
  // Each step is complete before the next, because it depends on its outcome: the change, then the records (which may
  // wait for another call with the same idempotency key), and then the head is locked. That update waits for other
  // writers and then works on the row as they left it, whatever this statement's snapshot is.
  // Without a head, the revision of each event is null, which the table refuses, and nothing is kept.
  const { rows } = await sql<AppendedRow>`
    with given as materialized (
      select * from rows from (json_to_recordset(${given}::json)
        as (id uuid, type text, occurred_at timestamptz,
          user_id uuid, email text, username text, is_active boolean, created_at text, ${recordRows.columns}))
        with ordinality
    ), draft as ${recordRows.isKeyed ? sql`materialized` : sql`not materialized`} (
      select * from given where user_id is not null ${recordRows.isKeyed ? sql`and ${isKeyFree}` : sql``}
    ), changed as (
      ${change}
    ), event as (
      select draft.*, row_number() over (order by ordinality) as place from draft join changed using (user_id)
    ), record as (
      select origin, coalesce(recorded_at, occurred_at) as recorded_at, coalesce(subject, user_id::text) as subject,
        request_id ${recordRows.keyColumns}
      from ${records.length > 0 ? sql`given` : sql`event`} where origin is not null
    ), kept as (
      ${recordRows.insertAnswers}
    ), audited as (
      ${recordRows.insertEntries}
    ), counted as (
      select count(*) as events, (select count(*) from kept) + (select count(*) from audited) as records from event
    ), head as (
      update stream_head set revision = revision + events from counted where events > 0 and records >= 0
      returning revision - events as previous, database_id
    ), appended as (
      insert into user_events (revision, id, type, user_id, payload, occurred_at)
      select previous + place, id, type, user_id, jsonb_build_object('id', user_id, 'email', email,
        'username', username, 'is_active', is_active, 'created_at', created_at), occurred_at
      from event left join head on true
    )
    select (select previous from head), (select database_id from head), (
      select coalesce(json_agg(user_id), '[]') from given
      where user_id is not null and user_id not in (select user_id from changed)
    ) as unchanged`.execute(connection);
  const unchanged = new Set(rows[0]?.unchanged);
  const appended = drafts.flatMap(({ event }) => (unchanged.has(event.user.id) ? [] : [event]));
  return { unchanged, commit: toCommit(appended, rows[0]) };
}

interface AppendedRow {
  /** Of the last event before these; null where none were appended. */
  readonly previous: bigint | null;
  readonly database_id: string | null;
  readonly unchanged: readonly string[];
}

function toCommit(drafts: readonly EventDraft[], row: AppendedRow | undefined): Commit | undefined {
  const { previous, database_id: databaseId } = row ?? {};
  if (previous == null || databaseId == null) {
    return undefined;
  }
  const events = drafts.map(
    (draft, index): LoggedEvent => ({ ...draft, revision: previous + BigInt(index + 1) }),
  );
  return { databaseId, events };
}

/**
 * Appends events in the order given, and keeps the records of the writes that they are of, whether or not these have
 * events. It must be the last thing that the transaction does: the row of the head stays locked until the commit, and
 * every other writer waits for it.
 */
export async function appendEvents(
  transaction: Transaction,
  events: readonly EventDraft[],
  records: readonly WriteRecord[] = [],
): Promise<Commit | undefined> {
  if (events.length === 0 && records.length === 0) {
    return undefined;
  }
  const drafts = events.map((event): DraftedWrite => ({ event, record: undefined }));
  const change = sql`select distinct user_id from draft`;
  const { commit } = await changeAndAppend(transaction, drafts, change, records);
  return commit;
}

/** A record's time is its event's, and so, nearly always, is its subject: what is the same is not told twice. */
function toRow({ event: { id, type, user, occurredAt }, record }: DraftedWrite, recordRows: RecordRows) {
  const columns = record && recordRows.add(record);
  return {
    id,
    type,
    occurred_at: occurredAt.toISOString(),
    user_id: user.id,
    email: user.email,
    username: user.username,
    is_active: user.isActive,
    created_at: user.createdAt.toISOString(),
    origin: columns?.origin,
    subject: columns?.subject === user.id ? undefined : columns?.subject,
    request_id: columns?.request_id,
    key_hash: columns?.key_hash,
    request_mac: columns?.request_mac,
    sealed_answer: columns?.sealed_answer,
  };
}
