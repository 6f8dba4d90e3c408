import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import type { Commit } from "./committed-events.ts";
import type { EventDraft, LoggedEvent } from "./event.ts";

/** What became of changes that were told by drafts. */
export interface AppendOutcome {
  /** The ids of the users for which nothing was changed. */
  readonly unchanged: ReadonlySet<string>;
  /** What has been appended, if anything: good once the statement's transaction is committed. */
  readonly commit: Commit | undefined;
}

/**
 * Makes the changes that drafts tell of and appends the drafts whose changes were made, in the order given and in one
 * statement. On a connection without a transaction it commits by itself: the lock on the log's head, which makes
 * revisions dense and puts them in commit order, is held neither for a round trip nor while users are written.
 *
 * The batch is one JSON parameter: the statement's text is the same for any number of events.
 *
 * @param change SQL that writes, reading the relation `draft` ({@link EventLog.writeDrafted} has its columns), and
 * returns the `user_id`s for which it has changed something
 */
export async function changeAndAppend(
  connection: Database,
  drafts: readonly EventDraft[],
  change: RawBuilder<unknown>,
): Promise<AppendOutcome> {
  // The change is complete before the head is locked, because the head's new revision depends on its outcome. That
  // update waits for other writers and then works on the row as they left it, whatever this statement's snapshot is.
  // Without a head, the revision of each event is null, which the table refuses, and nothing is kept.
  const { rows } = await sql<AppendedRow>`
    with draft as materialized (
      select * from rows from (json_to_recordset(${JSON.stringify(drafts.map(toRow))}::json)
        as (id uuid, type text, occurred_at timestamptz,
          user_id uuid, email text, username text, is_active boolean, created_at text)) with ordinality
        as draft(id, type, occurred_at, user_id, email, username, is_active, created_at, ordinal)
    ), changed as (
      ${change}
    ), event as (
      select draft.*, row_number() over (order by ordinal) as place from draft join changed using (user_id)
    ), counted as (
      select count(*) as events from event
    ), head as (
      update stream_head set revision = revision + events from counted where events > 0
      returning revision - events as previous, database_id
    ), appended as (
      insert into user_events (revision, id, type, user_id, payload, occurred_at)
      select previous + place, id, type, user_id, jsonb_build_object('id', user_id, 'email', email,
        'username', username, 'is_active', is_active, 'created_at', created_at), occurred_at
      from event left join head on true
    )
    select (select previous from head), (select database_id from head), (
      select coalesce(json_agg(user_id), '[]') from draft where user_id not in (select user_id from changed)
    ) as unchanged`.execute(connection);
  const unchanged = new Set(rows[0]?.unchanged);
  const appended = drafts.filter((draft) => !unchanged.has(draft.user.id));
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
 * Appends events in the order given. It must be the last thing that the transaction does: the row of the head stays
 * locked until the commit, and every other writer waits for it.
 */
export async function appendEvents(
  transaction: Transaction,
  drafts: readonly EventDraft[],
): Promise<Commit | undefined> {
  const { commit } = await changeAndAppend(transaction, drafts, sql`select distinct user_id from draft`);
  return commit;
}

function toRow({ id, type, user, occurredAt }: EventDraft) {
  return {
    id,
    type,
    occurred_at: occurredAt.toISOString(),
    user_id: user.id,
    email: user.email,
    username: user.username,
    is_active: user.isActive,
    created_at: user.createdAt.toISOString(),
  };
}
