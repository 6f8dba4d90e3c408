import { sql } from "kysely";
import type { Database } from "../schema.ts";
import type { AuthenticatedKey } from "./api-key-authenticator.ts";

interface UsableKeyRow {
  hash: string;
  id: string;
  display: string;
  scopes: string[];
  expires_at: Date | null;
}

/**
 * Finds the keys that are not revoked, also those that have expired, by their hashes (SHA-256 in hexadecimal, as are
 * those of the answer).
 *
 * One JSON parameter, so that the statement's text is the same for any number of hashes.
 */
export async function findUsableKeys(
  database: Database,
  hashes: readonly string[],
): Promise<Map<string, AuthenticatedKey>> {
  const { rows } = await sql<UsableKeyRow>`
    select encode(hash, 'hex') as hash, id, display, scopes, expires_at from api_keys
    where revoked_at is null
      and hash = any(array(select decode(json_array_elements_text(${JSON.stringify(hashes)}::json), 'hex')))`.execute(
    database,
  );
  return new Map(
    rows.map((row) => [
      row.hash,
      {
        id: row.id,
        display: row.display,
        scopes: new Set(row.scopes),
        expiresAtMs: row.expires_at?.getTime(),
      },
    ]),
  );
}

/**
 * Writes when keys were last used, by their ids, as Unix milliseconds; what another process has seen later stays.
 *
 * The rows are locked in one order, so that two processes that write of the same keys do not wait in a circle.
 */
export async function updateLastUses(database: Database, uses: ReadonlyMap<string, number>): Promise<void> {
  const rows = JSON.stringify(Array.from(uses, ([id, at]) => ({ id, at: new Date(at) })));
  await sql`
    with used as (
      select id, at from json_to_recordset(${rows}::json) as used(id uuid, at timestamptz)
    ), locked as (
      select id from api_keys where id in (select id from used) order by id for update
    )
    update api_keys set last_used_at = greatest(last_used_at, used.at)
    from used join locked on locked.id = used.id
    where api_keys.id = used.id`.execute(database);
}
