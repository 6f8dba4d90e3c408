import { type Kysely, sql } from "kysely";

/** Signing keys and refresh tokens. docs/tokens.md says how both live and end. */
export async function up(database: Kysely<unknown>): Promise<void> {
  // Of two keys, the one that signs from later on has replaced the other.
  await sql`
    create table signing_keys (
      kid text primary key,
      public_jwk jsonb not null,
      sealed_private_key bytea not null,
      created_at timestamptz not null,
      signs_from timestamptz not null,
      -- Null as long as nothing has replaced it.
      retires_at timestamptz
    )`.execute(database);
  // A family is a login and all the refresh tokens that descend from it.
  await sql`
    create table refresh_token_families (
      id uuid primary key,
      user_id uuid not null references users (id) on delete cascade,
      token_epoch integer not null,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      revoked_at timestamptz
    )`.execute(database);
  // Without it, each deletion of a user would read all families.
  await sql`create index refresh_token_families_user on refresh_token_families (user_id)`.execute(database);
  await sql`create index refresh_token_families_expiry on refresh_token_families (expires_at)`.execute(
    database,
  );
  // Used tokens stay until they expire: that is how a replay is told from garbage.
  await sql`
    create table refresh_tokens (
      hash bytea primary key constraint refresh_tokens_hash_length check (length(hash) = 32),
      family_id uuid not null references refresh_token_families (id) on delete cascade,
      expires_at timestamptz not null,
      used_at timestamptz
    )`.execute(database);
  await sql`create index refresh_tokens_family on refresh_tokens (family_id)`.execute(database);
  await sql`create index refresh_tokens_expiry on refresh_tokens (expires_at)`.execute(database);
}
