import { type Kysely, sql } from "kysely";

/**
 * API keys, of which only hashes are kept, and the head of all that decides who may do what: its revision rises in
 * the transaction of every change of a key or of a role's permissions, so that whoever keeps some of it in memory can
 * tell by one number whether it is still true.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table access_head (
      only_row boolean primary key default true check (only_row),
      revision bigint not null default 0
    ) with (fillfactor = 10)`.execute(database);
  await sql`insert into access_head default values`.execute(database);
  await sql`
    create table api_keys (
      id uuid primary key,
      hash bytea not null unique,
      display text not null,
      name text not null,
      scopes jsonb not null,
      created_at timestamptz not null,
      created_by text not null,
      expires_at timestamptz,
      revoked_at timestamptz,
      last_used_at timestamptz,
      replaces uuid unique references api_keys
    )`.execute(database);
}
