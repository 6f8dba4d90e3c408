import { type Kysely, sql } from "kysely";

/**
 * What people say about themselves, want and do. Whoever has said nothing has no row. The checks repeat the
 * contract's bounds, so that nothing can write what it would refuse.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table user_profiles (
      user_id uuid primary key references users (id) on delete cascade,
      display_name text not null check (length(display_name) <= 100),
      avatar_url text not null check (length(avatar_url) <= 2048),
      bio text not null check (length(bio) <= 2000),
      location text not null check (length(location) <= 200),
      website text not null check (length(website) <= 2048),
      updated_at timestamptz not null
    )`.execute(database);
  // Null is what nobody has set: the defaults are the program's.
  await sql`
    create table user_preferences (
      user_id uuid primary key references users (id) on delete cascade,
      theme text,
      language text,
      notifications_enabled boolean,
      notification_channels jsonb check (jsonb_typeof(notification_channels) = 'array'),
      additional_preferences jsonb check (jsonb_typeof(additional_preferences) = 'object')
    )`.execute(database);
  await sql`
    create table user_activities (
      id uuid primary key,
      user_id uuid not null references users (id) on delete cascade,
      activity_type text not null,
      description text not null,
      metadata jsonb not null check (jsonb_typeof(metadata) = 'object'),
      created_at timestamptz not null
    )`.execute(database);
  // Read backwards for a page, newest first; counted without the table; and what a deleted user's cascade looks up.
  await sql`create index user_activities_page on user_activities (user_id, created_at, id)`.execute(database);
}
