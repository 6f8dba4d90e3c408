import { sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database, Transaction } from "../schema.ts";
import type { ActivityDraft, ActivityPage } from "./activity.ts";
import { translateMissingUser } from "./foreign-key.ts";
import type { Page } from "./page.ts";

interface ActivityRow {
  total: bigint;
  /** Null where the page is empty. */
  id: string | null;
  activity_type: string;
  description: string;
  metadata: Record<string, string>;
  created_at_ms: number;
}

/**
 * Records what a user does, later than all that has been recorded of that user: the time is the database's, which
 * all processes share, and a microsecond behind the newest where the clock has not gone on since (the embedded
 * database counts milliseconds). So nobody sees what they did first before what they did next.
 *
 * @throws UserNotFoundError
 */
export async function insertActivity(
  transaction: Transaction,
  userId: string,
  id: string,
  { type, description, metadata }: ActivityDraft,
): Promise<void> {
  await sql`
    insert into user_activities (id, user_id, activity_type, description, metadata, created_at)
    values (${id}, ${userId}, ${type}, ${description}, ${JSON.stringify(metadata)}::jsonb,
      greatest(clock_timestamp(),
        (select max(created_at) + interval '1 microsecond' from user_activities where user_id = ${userId}::uuid)))`
    .execute(transaction)
    .catch((error: unknown) => {
      throw translateMissingUser(error);
    });
}

/**
 * Lists a page of a user's activities, newest first, with the number of them all; undefined where there is no such
 * user. One statement, so that page, total and user are of one snapshot.
 */
export async function listActivities(
  database: Database,
  userId: string,
  { limit, offset }: Page,
  signal?: AbortSignal,
): Promise<ActivityPage | undefined> {
  const query = sql<ActivityRow>`
    with page as (
      select id, activity_type, description, metadata, created_at from user_activities
      where user_id = ${userId} order by created_at desc, id desc limit ${limit} offset ${offset}
    )
    select (select count(*) from user_activities where user_id = ${userId}) as total,
      page.id, activity_type, description, metadata,
      (extract(epoch from page.created_at) * 1000)::float8 as created_at_ms
    from users left join page on true
    where users.id = ${userId}
    order by page.created_at desc, page.id desc`;
  const { rows } = await untilAborted(signal, () => query.execute(database));
  const first = rows[0];
  return (
    first && {
      userId,
      total: Number(first.total),
      activities: rows.flatMap((row) =>
        row.id === null ? [] : [{ ...toActivity(row), id: row.id, userId }],
      ),
    }
  );
}

function toActivity(row: ActivityRow): ActivityDraft & { createdAt: Date } {
  return {
    type: row.activity_type,
    description: row.description,
    metadata: row.metadata,
    createdAt: new Date(row.created_at_ms),
  };
}
