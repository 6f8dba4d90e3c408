import { type Kysely, sql } from "kysely";

/** Users. The checks repeat the domain's rules, so that nothing can write what the domain would refuse. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table users (
      id uuid primary key,
      email text not null
        constraint users_email_key unique
        constraint users_email_normalised check (email = lower(email) and length(email) <= 254),
      username text not null
        constraint users_username_key unique
        constraint users_username_rule check (username ~ '^[a-z][a-z0-9_]{1,28}[a-z0-9]$'),
      is_active boolean not null default true,
      created_at timestamptz not null
    )`.execute(database);
}
