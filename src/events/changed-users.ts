import { sql } from "kysely";
import type { Transaction } from "../schema.ts";

/** Who changed in a stretch of the log, and the state of the log that it was read in. */
export interface ChangedUsers {
  /** The database that numbers the revisions. */
  readonly databaseId: string;
  /** Revision of the newest event. */
  readonly head: bigint;
  /** Revision of the newest event that retention has removed: above `after`, the stretch has a gap. */
  readonly floor: bigint;
  /** Each once, in no particular order. Some may not exist any more. */
  readonly userIds: readonly string[];
  /** Revision of the stretch's last event; `after` where there is none. */
  readonly upTo: bigint;
}

/**
 * Reads who was changed by the events behind a revision, for a projection that reads the users themselves
 * afterwards. Whatever it reads then is as new as these events or newer, and for what is newer there is an event
 * behind `upTo`: a projection that keeps `upTo` in the same transaction misses nothing.
 *
 * One statement, so that the events and the floor are of one snapshot.
 *
 * @param limit how many events it reads at most
 */
export async function findChangedUsers(
  transaction: Transaction,
  after: bigint,
  limit: number,
): Promise<ChangedUsers> {
  const { rows } = await sql<{
    database_id: string;
    head: bigint;
    floor: bigint;
    up_to: bigint | null;
    user_ids: string[] | null;
  }>`
    with stretch as (
      select revision, user_id from user_events where revision > ${after} order by revision limit ${limit}
    )
    select head.database_id, head.revision as head, head.floor, changed.up_to, changed.user_ids
    from stream_head as head,
      (select max(revision) as up_to, json_agg(distinct user_id) as user_ids from stretch) as changed`.execute(
    transaction,
  );
  const row = rows[0];
  if (row === undefined) {
    throw new Error("stream_head has lost its row");
  }
  return {
    databaseId: row.database_id,
    head: row.head,
    floor: row.floor,
    userIds: row.user_ids ?? [],
    upTo: row.up_to ?? after,
  };
}
