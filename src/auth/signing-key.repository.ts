import { sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import type { SigningKeyRecord } from "./signing-key.ts";

/** A signing key as it is stored. */
export interface StoredSigningKey extends SigningKeyRecord {
  readonly sealedPrivateKey: Uint8Array;
}

/** Reads all keys, also those that have retired. */
export async function readSigningKeys(database: Database): Promise<StoredSigningKey[]> {
  const rows = await database.selectFrom("signing_keys").selectAll().execute();
  return rows.map((row) => ({
    kid: row.kid,
    publicJwk: row.public_jwk,
    sealedPrivateKey: row.sealed_private_key,
    createdAtMs: row.created_at.getTime(),
    signsFromMs: row.signs_from.getTime(),
    retiresAtMs: row.retires_at?.getTime(),
  }));
}

/** Waits until no other transaction decides which keys there shall be, and keeps them out until this one ends. */
export async function lockSigningKeys(transaction: Transaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('user-bridge signing keys'))`.execute(transaction);
}

/** Inserts a key. */
export async function insertSigningKey(transaction: Transaction, key: StoredSigningKey): Promise<void> {
  await transaction
    .insertInto("signing_keys")
    .values({
      kid: key.kid,
      public_jwk: JSON.stringify(key.publicJwk),
      sealed_private_key: key.sealedPrivateKey,
      created_at: new Date(key.createdAtMs),
      signs_from: new Date(key.signsFromMs),
      retires_at: null,
    })
    .execute();
}

/** Lets all keys but one retire at the given time, or when they would have anyway, whichever comes first. */
export async function retireOtherKeys(
  transaction: Transaction,
  kid: string,
  retiresAtMs: number,
): Promise<void> {
  await sql`
    update signing_keys set retires_at = least(retires_at, ${new Date(retiresAtMs)}::timestamptz)
    where kid <> ${kid}`.execute(transaction);
}

/** Deletes the keys that retired before a time. */
export async function deleteKeysRetiredBefore(database: Database, timeMs: number): Promise<void> {
  await database.deleteFrom("signing_keys").where("retires_at", "<", new Date(timeMs)).execute();
}
