import { type Kysely, sql } from "kysely";

/**
 * What an account is beside a user of users.v1. A username is optional from now on; several rows without one do
 * not collide. Columns that a registration does not fill have defaults, so that it writes no more than before.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    alter table users
      alter column username drop not null,
      add column full_name text not null default ''
        constraint users_full_name_length check (length(full_name) <= 200),
      add column is_superuser boolean not null default false,
      -- Null as long as nothing has changed since created_at.
      add column updated_at timestamptz,
      -- A token is good only while its account has the epoch that the token was issued in.
      add column token_epoch integer not null default 0`.execute(database);
  // Apart from the users, so that no statement about users ever reads a hash by accident.
  await sql`
    create table user_passwords (
      user_id uuid primary key references users (id) on delete cascade,
      hash text not null,
      changed_at timestamptz not null
    )`.execute(database);
}
