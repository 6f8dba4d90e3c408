import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import type { ApiKey } from "./api-key.ts";

interface ApiKeyRow {
  id: string;
  display: string;
  name: string;
  scopes: string[];
  created_at: Date;
  created_by: string;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
  replaces: string | null;
}

const columns = sql.raw(
  "id, display, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, replaces",
);

/** Finds a key by its id, which must be a UUID. */
export function findApiKey(database: Database, id: string): Promise<ApiKey | undefined> {
  return selectApiKey(database, id, "");
}

/** The same, and keeps the key for the transaction alone. */
export function lockApiKey(transaction: Transaction, id: string): Promise<ApiKey | undefined> {
  return selectApiKey(transaction, id, "for update");
}

async function selectApiKey(
  database: Database,
  id: string,
  locking: "" | "for update",
): Promise<ApiKey | undefined> {
  const { rows } = await sql<ApiKeyRow>`
    select ${columns} from api_keys where id = ${id}::uuid ${sql.raw(locking)}`.execute(database);
  return rows[0] && toApiKey(rows[0]);
}

/** Lists keys, newest first: ids begin with the time at which they were given. */
export async function listApiKeysBefore(
  database: Database,
  beforeId: string | undefined,
  limit: number,
): Promise<ApiKey[]> {
  const { rows } = await sql<ApiKeyRow>`
    select ${columns} from api_keys
    ${beforeId === undefined ? sql`` : sql`where id < ${beforeId}::uuid`}
    order by id desc limit ${limit}`.execute(database);
  return rows.map(toApiKey);
}

/** Whether a key has been made to replace this one, which is locked: nobody else can be making one. */
export async function isReplaced(transaction: Transaction, id: string): Promise<boolean> {
  const { rows } = await sql`select id from api_keys where replaces = ${id}::uuid`.execute(transaction);
  return rows.length > 0;
}

/** Inserts a key. @param hash SHA-256 in hexadecimal */
export async function insertApiKey(transaction: Transaction, key: ApiKey, hash: string): Promise<void> {
  await sql`
    insert into api_keys (id, hash, display, name, scopes, created_at, created_by, expires_at, replaces)
    values (${key.id}::uuid, ${Buffer.from(hash, "hex")}::bytea, ${key.display}, ${key.name},
      ${JSON.stringify(key.scopes)}::jsonb, ${timestamp(key.createdAt)}, ${key.createdBy},
      ${timestamp(key.expiresAt)}, ${key.replaces ?? null}::uuid)`.execute(transaction);
}

/** Writes when a key, which is locked, ends. */
export async function updateApiKeyEnd(transaction: Transaction, key: ApiKey): Promise<void> {
  await sql`
    update api_keys set expires_at = ${timestamp(key.expiresAt)}, revoked_at = ${timestamp(key.revokedAt)}
    where id = ${key.id}::uuid`.execute(transaction);
}

function timestamp(moment: Date | undefined): RawBuilder<Date | null> {
  return sql`${moment ?? null}::timestamptz`;
}

function toApiKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    display: row.display,
    scopes: row.scopes,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    replaces: row.replaces ?? undefined,
  };
}
