import { sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { findKeptKeys } from "../writes/repetitions.ts";
import type { Account, LoginSubject } from "./account.ts";
import { findUsers } from "./user.repository.ts";
import { type AccountRow, accountColumns, anyOf, type KeyColumn, toAccount } from "./user-rows.ts";

/** The same as {@link findUsers}, with what only the account's own services see. */
export async function findAccounts(
  database: Database,
  column: KeyColumn,
  values: readonly string[],
): Promise<Account[]> {
  const { rows } = await sql<AccountRow>`
    select ${accountColumns} from users where ${sql.raw(column)} = ${anyOf(column, values)}`.execute(
    database,
  );
  return rows.map(toAccount);
}

/** Finds the account of an email together with its password's hash, both of one moment. */
export async function findLoginSubject(database: Database, email: string): Promise<LoginSubject | undefined> {
  const { rows } = await sql<AccountRow & { hash: string | null }>`
    select ${accountColumns}, (select hash from user_passwords where user_id = users.id) as hash
    from users where email = ${email}`.execute(database);
  const row = rows[0];
  return row && { account: toAccount(row), passwordHash: row.hash ?? undefined };
}

/** Whether an account has the email. */
export async function emailExists(database: Database, email: string): Promise<boolean> {
  const { rows } = await sql`select 1 from users where email = ${email}`.execute(database);
  return rows.length > 0;
}

/**
 * Reads users and locks their rows until the transaction ends, in the order of their ids, so that two
 * transactions never wait for each other.
 *
 * @param mayWait whether to wait for rows that others have locked; if not, their ids are told apart
 * @param keyHashes idempotency keys, of which those are named that are known to have been used; only where there is a
 * user
 */
export async function lockUsers(
  transaction: Transaction,
  ids: readonly string[],
  mayWait: boolean,
  keyHashes: readonly Buffer[] = [],
): Promise<{ users: Map<string, Account>; busyIds: Set<string>; keptKeys: Set<string> }> {
  const keptKeys = keyHashes.length === 0 ? sql`null` : findKeptKeys(keyHashes);
  const { rows } = await sql<AccountRow & { kept_keys: string[] | null }>`
    select ${accountColumns}, ${keptKeys} as kept_keys from users where id = ${anyOf("id", ids)}
    order by id for update ${sql.raw(mayWait ? "" : "skip locked")}`.execute(transaction);
  const users = new Map(rows.map((row) => [row.id, toAccount(row)]));
  const missing = mayWait ? [] : ids.filter((id) => !users.has(id));
  const busy = missing.length === 0 ? [] : await findUsers(transaction, "id", missing);
  return {
    users,
    busyIds: new Set(busy.map((user) => user.id)),
    keptKeys: new Set(rows[0]?.kept_keys),
  };
}

/**
 * Writes the changed fields of users whose rows are locked.
 *
 * @throws EmailTakenError, UsernameTakenError where somebody else has just taken a name
 */
export async function updateUsers(transaction: Transaction, accounts: readonly Account[]): Promise<void> {
  const rows = accounts.map((account) => ({
    id: account.id,
    email: account.email,
    username: account.username,
    is_active: account.isActive,
    full_name: account.fullName,
    is_superuser: account.isSuperuser,
    updated_at: account.updatedAt,
    token_epoch: account.tokenEpoch,
  }));
  await sql`
    update users set email = given.email, username = nullif(given.username, ''), is_active = given.is_active,
      full_name = given.full_name, is_superuser = given.is_superuser, updated_at = given.updated_at,
      token_epoch = given.token_epoch
    from json_to_recordset(${JSON.stringify(rows)}::json)
      as given(id uuid, email text, username text, is_active boolean, full_name text, is_superuser boolean,
        updated_at timestamptz, token_epoch integer)
    where users.id = given.id`.execute(transaction);
}

/**
 * Inserts an account, unless its email is taken.
 *
 * @returns whether it was inserted
 */
export async function insertAccount(transaction: Transaction, account: Account): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into users (id, email, username, is_active, created_at, full_name, is_superuser)
    values (${account.id}, ${account.email}, nullif(${account.username}::text, ''), ${account.isActive},
      ${account.createdAt}, ${account.fullName}, ${account.isSuperuser})
    on conflict (email) do nothing`.execute(transaction);
  return numAffectedRows === 1n;
}

/** Deletes users. */
export async function deleteUsers(transaction: Transaction, ids: readonly string[]): Promise<void> {
  await sql`delete from users where id = ${anyOf("id", ids)}`.execute(transaction);
}
