import { type Kysely, sql } from "kysely";

/** The event log and its head. docs/event-log.md says why revisions are no sequence. */
export async function up(database: Kysely<unknown>): Promise<void> {
  // One row, locked by every write until it commits. The space that a page keeps free lets each update stay
  // on its page (a heap-only tuple), so that the row is not scattered over a growing table.
  await sql`
    create table stream_head (
      only_row boolean primary key default true check (only_row),
      database_id uuid not null default gen_random_uuid(),
      revision bigint not null default 0,
      floor bigint not null default 0,
      constraint stream_head_order check (floor >= 0 and floor <= revision)
    ) with (fillfactor = 10)`.execute(database);
  await sql`insert into stream_head default values`.execute(database);
  await sql`
    create table user_events (
      revision bigint primary key,
      id uuid not null,
      type text not null,
      user_id uuid not null,
      payload jsonb not null,
      occurred_at timestamptz not null
    )`.execute(database);
  // A resumed stream of a few users must not read the whole log.
  await sql`create index user_events_user on user_events (user_id, revision)`.execute(database);
}
