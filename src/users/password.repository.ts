import { sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";

/** Sets the passwords of users that exist: hashes, by the ids of the users. */
export async function setPasswordHashes(
  transaction: Transaction,
  hashes: ReadonlyMap<string, string>,
  now: Date,
): Promise<void> {
  const rows = [...hashes].map(([id, hash]) => ({ id, hash }));
  await sql`
    insert into user_passwords (user_id, hash, changed_at)
    select given.id, given.hash, ${now}
    from json_to_recordset(${JSON.stringify(rows)}::json) as given(id uuid, hash text)
    on conflict (user_id) do update set hash = excluded.hash, changed_at = excluded.changed_at`.execute(
    transaction,
  );
}

/** Replaces a hash, unless it is another by now. */
export async function replacePasswordHash(
  database: Database,
  userId: string,
  present: string,
  next: string,
): Promise<void> {
  await sql`
    update user_passwords set hash = ${next} where user_id = ${userId}::uuid and hash = ${present}`.execute(
    database,
  );
}
