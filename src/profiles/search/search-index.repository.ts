import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../../schema.ts";
import { type SearchableUser, toSearchDocument } from "./search-text.ts";

/** How far the index has come. */
export interface SearchHead {
  /** The log that the revision is of; null where nothing has been indexed yet. */
  readonly databaseId: string | null;
  /** Every event up to this one has been applied. */
  readonly revision: bigint;
  /** While the index is being rebuilt: users behind this one may be missing or outdated. */
  readonly rebuiltTo: string | null;
}

/** Reads the log's head and whether the index has everything up to it, in one statement. */
export async function readDistance(database: Database): Promise<{ head: bigint; isCurrent: boolean }> {
  const { rows } = await sql<{ head: bigint; is_current: boolean }>`
    select log.revision as head, coalesce(
      search.database_id = log.database_id and search.rebuilt_to is null and search.revision = log.revision, false
    ) as is_current
    from stream_head as log, search_head as search`.execute(database);
  return rows[0] === undefined ? lostRow() : { head: rows[0].head, isCurrent: rows[0].is_current };
}

/** Reads how far the index has come and locks it: one transaction at a time moves it on. */
export async function lockSearchHead(transaction: Transaction): Promise<SearchHead> {
  const { rows } = await sql<SearchHead>`
    select database_id as "databaseId", revision, rebuilt_to as "rebuiltTo"
    from search_head for update`.execute(transaction);
  return rows[0] ?? lostRow();
}

/** Writes how far the index has come. */
export async function moveSearchHead(transaction: Transaction, head: SearchHead): Promise<void> {
  await sql`
    update search_head
    set database_id = ${head.databaseId}, revision = ${head.revision}, rebuilt_to = ${head.rebuiltTo}`.execute(
    transaction,
  );
}

/** Indexes users as they are now. Those that are gone have taken their documents with them. */
export async function indexUsers(transaction: Transaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) {
    return;
  }
  const isOneOf = sql`id = any(array(select json_array_elements_text(${JSON.stringify(ids)}::json)::uuid))`;
  await writeDocuments(transaction, await readUsers(transaction, isOneOf, ids.length));
}

/**
 * Indexes a page of all users, in the order of their ids.
 *
 * @returns the page's last id; null where it was the last page
 */
export async function indexUsersAfter(
  transaction: Transaction,
  afterId: string,
  limit: number,
): Promise<string | null> {
  const users = await readUsers(transaction, sql`id > ${afterId}`, limit);
  await writeDocuments(transaction, users);
  return users.length === limit ? (users.at(-1)?.id ?? null) : null;
}

interface UserRow extends SearchableUser {
  readonly id: string;
}

/**
 * Reads users, and keeps them from being deleted before their documents refer to them. Whoever deletes users
 * locks them in the order of their ids, too, so that the two never wait for each other.
 */
async function readUsers(
  transaction: Transaction,
  condition: RawBuilder<unknown>,
  limit: number,
): Promise<UserRow[]> {
  const { rows } = await sql<UserRow>`
    select id, full_name as "fullName", email, username from users
    where ${condition} order by id limit ${limit} for key share`.execute(transaction);
  return rows;
}

/** A change of something that is not searched leaves the document alone, which is half the cost of a write. */
async function writeDocuments(transaction: Transaction, users: readonly UserRow[]): Promise<void> {
  if (users.length === 0) {
    return;
  }
  const rows = users.map((user) => ({ user_id: user.id, document: toSearchDocument(user) }));
  await sql`
    insert into user_search (user_id, document)
    select user_id, document from json_to_recordset(${JSON.stringify(rows)}::json)
      as given(user_id uuid, document text)
    on conflict (user_id) do update set document = excluded.document
    where user_search.document <> excluded.document`.execute(transaction);
}

function lostRow(): never {
  throw new Error("search_head or stream_head has lost its row");
}
