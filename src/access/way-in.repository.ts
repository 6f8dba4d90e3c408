import { sql } from "kysely";
import type { Database } from "../schema.ts";

/**
 * Whether somebody can show a good credential that this database knows of: an API key, or the password of a superuser.
 * One statement, also over the tables of keys and users, as of one moment.
 */
export async function hasGoodCredential(database: Database, now: Date): Promise<boolean> {
  const { rows } = await sql<{ has_one: boolean }>`
    select exists (
      select from api_keys where revoked_at is null and (expires_at is null or expires_at > ${now})
    ) or exists (
      select from users join user_passwords on user_id = users.id where is_superuser and is_active
    ) as has_one`.execute(database);
  return rows[0]?.has_one === true;
}
