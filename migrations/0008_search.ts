import { type Kysely, sql } from "kysely";

/** Search: one document a user, derived from the users by way of the event log. docs/search.md says how. */
export async function up(database: Kysely<unknown>): Promise<void> {
  // A trusted extension: whoever may create tables in the database may create it.
  await sql`create extension if not exists pg_trgm`.execute(database);
  // It goes with its user, in the same transaction: nothing of a deleted user is left behind, even for a moment.
  await sql`
    create table user_search (
      user_id uuid primary key references users (id) on delete cascade,
      document text not null
    )`.execute(database);
  // Every search reads the whole list of entries that are not in the index proper yet, so it is kept far shorter than
  // the default of 4 MB.
  await sql`
    create index user_search_document on user_search using gin (document gin_trgm_ops)
    with (gin_pending_list_limit = 256)`.execute(database);
  // One row. Without a database_id nothing has been indexed yet.
  await sql`
    create table search_head (
      only_row boolean primary key default true check (only_row),
      -- The log that the revision is of.
      database_id uuid,
      -- Every event up to this one has been applied.
      revision bigint not null default 0,
      -- While the index is being rebuilt: users behind this one may be missing or outdated.
      rebuilt_to uuid
    ) with (fillfactor = 10)`.execute(database);
  await sql`insert into search_head default values`.execute(database);
}
