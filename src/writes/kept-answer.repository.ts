import { sql } from "kysely";
import type { Database } from "../schema.ts";

/** What a repetition is answered with. */
export interface StoredAnswer {
  readonly requestMac: Buffer;
  readonly sealedAnswer: Buffer;
  readonly createdAt: Date;
}

/** Finds the answer to the call with a key. */
export async function findKeptAnswer(database: Database, keyHash: Buffer): Promise<StoredAnswer | undefined> {
  const { rows } = await sql<{ request_mac: Uint8Array; sealed_answer: Uint8Array; created_at: Date }>`
    select request_mac, sealed_answer, created_at from idempotency_keys where key_hash = ${keyHash}`.execute(
    database,
  );
  const row = rows[0];
  return (
    row && {
      requestMac: Buffer.from(row.request_mac),
      sealedAnswer: Buffer.from(row.sealed_answer),
      createdAt: row.created_at,
    }
  );
}

/** Forgets one answer, if it is older. */
export async function deleteKeptAnswer(database: Database, keyHash: Buffer, before: Date): Promise<void> {
  await sql`
    delete from idempotency_keys where key_hash = ${keyHash} and created_at <= ${before}`.execute(database);
}

/**
 * Forgets the oldest of the answers that are older. What another process is forgetting at the same time is left to it.
 *
 * @returns how many
 */
export async function deleteKeptAnswers(database: Database, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from idempotency_keys where key_hash = any(array(
      select key_hash from idempotency_keys where created_at <= ${before}
      order by created_at limit ${limit} for update skip locked))`.execute(database);
  return Number(numAffectedRows ?? 0n);
}
