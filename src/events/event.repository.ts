import { type Expression, type SqlBool, sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database, Transaction } from "../schema.ts";
import type { EventFilter, EventType, LoggedEvent } from "./event.ts";
import { fromStoredSnapshot, type StoredSnapshot } from "./user-snapshot.ts";

/** The log's state at one moment. */
export interface LogState {
  readonly databaseId: string;
  /** Revision of the newest event. */
  readonly head: bigint;
  /** Revision of the newest event that retention has removed; a stream can begin behind it, not before. */
  readonly floor: bigint;
}

/** A stretch of the log and the state that it was read in. */
export interface EventPage extends LogState {
  readonly events: readonly LoggedEvent[];
  /** Every matching event up to this revision has been read: where the next page begins. */
  readonly upTo: bigint;
}

/** How many revisions one page looks through where a type filter may reject most of them. */
const windowSize = 10_000n;

interface EventRow {
  database_id: string;
  head: bigint;
  floor: bigint;
  revision: bigint | null;
  id: string;
  type: EventType;
  payload: StoredSnapshot;
  /** A number of milliseconds costs pg a fraction of what a date does. */
  occurred_at_ms: number;
}

/**
 * Reads the events behind a revision, together with the log's state.
 *
 * One statement, so that state and events are of one snapshot: were the floor read first, retention could
 * remove events between the two and the page would have a gap that nobody noticed.
 *
 * A filter by user reads its own index; a filter by type alone is bounded to a window of revisions, so a page
 * may be empty although the log goes on: `upTo` says how far it looked.
 */
export async function readEventsAfter(
  database: Database,
  after: bigint,
  filter: EventFilter,
  limit: number,
  signal?: AbortSignal,
): Promise<EventPage> {
  const windowed = filter.types.size > 0 && filter.userIds.size === 0;
  const last = windowed ? after + windowSize : undefined;
  const query = database
    // There is one row, but a planner that has no statistics yet expects a thousand, takes the query for an expensive
    // one and spends ten milliseconds on compiling it.
    .selectFrom((expression) => expression.selectFrom("stream_head").selectAll().limit(1).as("head"))
    .leftJoinLateral(
      (expression) =>
        expression
          .selectFrom("user_events")
          .select(["revision", "id", "type", "payload"])
          .select(sql<number>`(extract(epoch from occurred_at) * 1000)::float8`.as("occurred_at_ms"))
          .where((where) => {
            const conditions: Expression<SqlBool>[] = [where("revision", ">", after)];
            if (last !== undefined) conditions.push(where("revision", "<=", last));
            if (filter.types.size > 0) conditions.push(where("type", "in", [...filter.types]));
            if (filter.userIds.size > 0) conditions.push(where("user_id", "in", [...filter.userIds]));
            return where.and(conditions);
          })
          .orderBy("revision")
          .limit(limit)
          .as("event"),
      (join) => join.onTrue(),
    )
    .select(["head.database_id", "head.revision as head", "head.floor"])
    .select(["event.revision", "event.id", "event.type", "event.payload", "event.occurred_at_ms"])
    .orderBy("event.revision")
    .$castTo<EventRow>();
  const rows = await untilAborted(signal, () => query.execute());
  const first = rows[0];
  if (first === undefined) {
    throw new Error("stream_head has lost its row");
  }
  const events = rows.flatMap((row) => (row.revision === null ? [] : [toLoggedEvent(row, row.revision)]));
  const end = last !== undefined && last < first.head ? last : first.head;
  const full = events.length === limit ? events.at(-1) : undefined;
  return {
    databaseId: first.database_id,
    head: first.head,
    floor: first.floor,
    events,
    upTo: full?.revision ?? (end > after ? end : after),
  };
}

function toLoggedEvent(row: EventRow, revision: bigint): LoggedEvent {
  return {
    revision,
    id: row.id,
    type: row.type,
    user: fromStoredSnapshot(row.payload),
    occurredAt: new Date(row.occurred_at_ms),
  };
}

/**
 * Removes up to `limit` of the oldest events that happened before the cutoff and raises the floor with them.
 * Only a prefix of the log goes: an old event behind a younger one (clocks differ) stays until that is old.
 *
 * @returns how many were removed; fewer than `limit` means that nothing is left to remove
 */
export async function removeEventsBefore(
  transaction: Transaction,
  cutoff: Date,
  limit: number,
): Promise<number> {
  // One process at a time; the others have nothing to add.
  const { rows: locks } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(hashtext('user-bridge retention')) as locked`.execute(transaction);
  if (locks[0]?.locked !== true) {
    return 0;
  }
  const { rows } = await sql<{ revision: bigint; old: boolean }>`
    select revision, occurred_at < ${cutoff} as old from user_events order by revision limit ${limit}`.execute(
    transaction,
  );
  const young = rows.findIndex((row) => !row.old);
  const last = rows[(young === -1 ? rows.length : young) - 1];
  if (last === undefined) {
    return 0;
  }
  await transaction.deleteFrom("user_events").where("revision", "<=", last.revision).execute();
  // Last, because the row stays locked until the commit and every writer needs it.
  await transaction.updateTable("stream_head").set({ floor: last.revision }).execute();
  return young === -1 ? rows.length : young;
}
