import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import type { RefreshTokenRecord } from "./refresh-token.ts";

/** A family's first token. Times are Unix milliseconds. */
export interface NewFamily {
  readonly id: string;
  readonly userId: string;
  readonly tokenEpoch: number;
  readonly hash: Uint8Array;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** Begins a family with one token. @throws the database's foreign_key_violation where the user is gone */
export async function insertFamily(transaction: Transaction, family: NewFamily): Promise<void> {
  const expiresAt = timestamp(family.expiresAtMs);
  await sql`
    with family as (
      insert into refresh_token_families (id, user_id, token_epoch, created_at, expires_at)
      values (${family.id}::uuid, ${family.userId}::uuid, ${family.tokenEpoch}::int,
        ${timestamp(family.createdAtMs)}, ${expiresAt})
    )
    insert into refresh_tokens (hash, family_id, expires_at)
    values (${family.hash}::bytea, ${family.id}::uuid, ${expiresAt})`.execute(transaction);
}

/** Finds what is known of a token. */
export function findRefreshToken(
  database: Database,
  hash: Uint8Array,
): Promise<RefreshTokenRecord | undefined> {
  return selectRefreshToken(database, hash, "");
}

/**
 * The same, and keeps the token and its family for the transaction alone: of all that refresh or replay tokens of
 * one family, one at a time decides.
 */
export function lockRefreshToken(
  transaction: Transaction,
  hash: Uint8Array,
): Promise<RefreshTokenRecord | undefined> {
  return selectRefreshToken(transaction, hash, "for update");
}

async function selectRefreshToken(
  database: Database,
  hash: Uint8Array,
  locking: "" | "for update",
): Promise<RefreshTokenRecord | undefined> {
  const { rows } = await sql<RefreshTokenRow>`
    select family_id, user_id, token_epoch, token.expires_at, used_at, revoked_at
    from refresh_tokens as token join refresh_token_families as family on family.id = token.family_id
    where token.hash = ${hash}::bytea ${sql.raw(locking)}`.execute(database);
  const row = rows[0];
  return row === undefined
    ? undefined
    : {
        familyId: row.family_id,
        userId: row.user_id,
        tokenEpoch: row.token_epoch,
        expiresAtMs: row.expires_at.getTime(),
        isUsed: row.used_at !== null,
        isRevoked: row.revoked_at !== null,
      };
}

interface RefreshTokenRow {
  family_id: string;
  user_id: string;
  token_epoch: number;
  expires_at: Date;
  used_at: Date | null;
  revoked_at: Date | null;
}

/** A token's successor. Times are Unix milliseconds. */
export interface Succession {
  readonly familyId: string;
  readonly usedHash: Uint8Array;
  readonly nextHash: Uint8Array;
  readonly nowMs: number;
  readonly expiresAtMs: number;
}

/** Marks a token as used and inserts the next of its family. */
export async function replaceRefreshToken(transaction: Transaction, next: Succession): Promise<void> {
  const expiresAt = timestamp(next.expiresAtMs);
  await sql`
    with used as (
      update refresh_tokens set used_at = ${timestamp(next.nowMs)} where hash = ${next.usedHash}::bytea
    ), family as (
      update refresh_token_families set expires_at = ${expiresAt} where id = ${next.familyId}::uuid
    )
    insert into refresh_tokens (hash, family_id, expires_at)
    values (${next.nextHash}::bytea, ${next.familyId}::uuid, ${expiresAt})`.execute(transaction);
}

/** Ends a family: none of its tokens is good any more. */
export async function revokeFamily(transaction: Transaction, id: string, nowMs: number): Promise<void> {
  await sql`
    update refresh_token_families set revoked_at = ${timestamp(nowMs)}
    where id = ${id}::uuid and revoked_at is null`.execute(transaction);
}

/**
 * Deletes up to `limit` tokens that have expired. Those that somebody is just deciding about stay until next time.
 *
 * @returns how many were deleted
 */
export async function deleteExpiredTokens(database: Database, nowMs: number, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    with expired as materialized (
      select hash from refresh_tokens where expires_at < ${timestamp(nowMs)}
      limit ${limit} for update skip locked
    )
    delete from refresh_tokens as present using expired where present.hash = expired.hash`.execute(database);
  return Number(numAffectedRows ?? 0n);
}

/** The same with families, and with what tokens they still have. */
export async function deleteExpiredFamilies(
  database: Database,
  nowMs: number,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    with expired as materialized (
      select id from refresh_token_families where expires_at < ${timestamp(nowMs)}
      limit ${limit} for update skip locked
    )
    delete from refresh_token_families as present using expired where present.id = expired.id`.execute(
    database,
  );
  return Number(numAffectedRows ?? 0n);
}

function timestamp(timeMs: number): RawBuilder<Date> {
  return sql`${new Date(timeMs)}::timestamptz`;
}
