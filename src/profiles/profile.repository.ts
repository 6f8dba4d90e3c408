import { type Selectable, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import type { ProfileTables } from "./profile.table.ts";
import type { ProfileEntry } from "./profile.ts";

type ProfileRow = Omit<Selectable<ProfileTables["user_profiles"]>, "updated_at"> & { updated_at_ms: number };

/** Finds the entries there are, by user id, which must be a UUID. */
export async function findProfiles(
  database: Database,
  userIds: readonly string[],
): Promise<Map<string, ProfileEntry>> {
  // One JSON parameter, so that the statement's text is the same for any number.
  const { rows } = await sql<ProfileRow>`
    select user_id, display_name, avatar_url, bio, location, website,
      (extract(epoch from updated_at) * 1000)::float8 as updated_at_ms
    from user_profiles
    where user_id = any(array(select json_array_elements_text(${JSON.stringify(userIds)}::json)::uuid))`.execute(
    database,
  );
  return new Map(rows.map((row) => [row.user_id, toEntry(row)]));
}

/** Writes somebody's entry, over an older one. The user's row must be locked. */
export async function saveProfile(
  transaction: Transaction,
  userId: string,
  entry: ProfileEntry,
): Promise<void> {
  await sql`
    insert into user_profiles (user_id, display_name, avatar_url, bio, location, website, updated_at)
    values (${userId}, ${entry.displayName}, ${entry.avatarUrl}, ${entry.bio}, ${entry.location},
      ${entry.website}, ${entry.updatedAt})
    on conflict (user_id) do update set
      display_name = excluded.display_name, avatar_url = excluded.avatar_url, bio = excluded.bio,
      location = excluded.location, website = excluded.website, updated_at = excluded.updated_at`.execute(
    transaction,
  );
}

function toEntry(row: ProfileRow): ProfileEntry {
  return {
    displayName: row.display_name,
    avatarUrl: row.avatar_url,
    bio: row.bio,
    location: row.location,
    website: row.website,
    updatedAt: new Date(row.updated_at_ms),
  };
}
