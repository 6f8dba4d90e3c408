import { type RawBuilder, sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database, Transaction } from "../schema.ts";
import { EmailTakenError, UsernameTakenError } from "./user.errors.ts";
import type { User } from "./user.ts";
import { anyOf, columns, type KeyColumn, rowsOf, toUser, type UserRow } from "./user-rows.ts";

/** The one column to look a user up by, and the value. */
export interface UserKey {
  readonly column: KeyColumn;
  readonly value: string;
}

/** Why a row was not inserted. */
export type Taken = "email" | "username";

/**
 * Finds the users that exist, by their value of the column, in no particular order. Values are in their normal
 * form; ids must be UUIDs, and texts such as PostgreSQL can store: it would refuse them all for the sake of one.
 */
export async function findUsers(
  database: Database,
  column: KeyColumn,
  values: readonly string[],
): Promise<User[]> {
  const { rows } = await sql<UserRow>`
    select ${columns} from users where ${sql.raw(column)} = ${anyOf(column, values)}`.execute(database);
  return rows.map(toUser);
}

/** Lists users by id, which is by the time of their registration, behind the given one. */
export async function listUsersAfter(
  database: Database,
  afterId: string | undefined,
  limit: number,
  signal?: AbortSignal,
): Promise<User[]> {
  const query = database
    .selectFrom("users")
    .select(["id", "email", "username", "is_active"])
    .select(sql<number>`(extract(epoch from created_at) * 1000)::float8`.as("created_at_ms"))
    .$if(afterId !== undefined, (query) => query.where("id", ">", afterId as string))
    .orderBy("id")
    .limit(limit);
  const rows = await untilAborted(signal, () => query.execute());
  return rows.map(toUser);
}

/** Who holds an email and, where it is not null, a username. */
export interface NameHolder {
  readonly id: string;
  readonly email: string;
  readonly username: string | null;
}

/** Finds who holds any of the emails or any of the usernames. */
export async function findNameHolders(
  database: Database,
  emails: readonly string[],
  usernames: readonly string[],
): Promise<NameHolder[]> {
  const { rows } = await sql<NameHolder>`
    select id, email, username from users
    where email = ${anyOf("email", emails)} or username = ${anyOf("username", usernames)}`.execute(database);
  return rows;
}

/**
 * Inserts users, each on its own merits: those whose email or username is taken (also by one before it in the
 * same call) are left out and named, and do not hold the others up.
 *
 * @returns by user id, what was taken; users that are not in the map have been inserted
 */
export async function insertUsers(
  transaction: Transaction,
  users: readonly User[],
): Promise<Map<string, Taken>> {
  const refused = new Map<string, Taken>();
  for (let pending = users; pending.length > 0; ) {
    const { numAffectedRows } = await sql`
      insert into users (id, email, username, is_active, created_at)
      select id, email, username, is_active, created_at from ${rowsOf(pending)}
      on conflict do nothing`.execute(transaction);
    if (numAffectedRows === BigInt(pending.length)) {
      break;
    }
    const insertedIds = await findIds(transaction, pending);
    const left = pending.filter((user) => !insertedIds.has(user.id));
    for (const [id, taken] of await findTaken(transaction, left)) {
      refused.set(id, taken);
    }
    // Whom a user collided with may have been deleted between the two statements: then it is tried again.
    pending = left.filter((user) => !refused.has(user.id));
  }
  return refused;
}

/**
 * Inserts the users of an event log's drafts, for {@link EventLog.writeDrafted}: each on its own merits, as in
 * {@link insertUsers}, and in the order of the drafts.
 */
export const insertDraftedUsers: RawBuilder<unknown> = sql`
  insert into users (id, email, username, is_active, created_at)
  select user_id, email, username, is_active, created_at::timestamptz from draft order by ordinality
  on conflict do nothing
  returning id as user_id`;

/** Which of the users there are, by their ids. */
async function findIds(transaction: Transaction, users: readonly User[]): Promise<Set<string>> {
  const ids = anyOf(
    "id",
    users.map((user) => user.id),
  );
  const { rows } = await sql<{ id: string }>`select id from users where id = ${ids}`.execute(transaction);
  return new Set(rows.map((row) => row.id));
}

/** Finds, by user id, which of the names that users want are taken; nothing for those who could have both. */
export async function findTaken(database: Database, users: readonly User[]): Promise<Map<string, Taken>> {
  if (users.length === 0) {
    return new Map();
  }
  const holders = await findNameHolders(
    database,
    users.map((user) => user.email),
    users.map((user) => user.username),
  );
  const emails = new Set(holders.map((holder) => holder.email));
  const usernames = new Set(holders.map((holder) => holder.username));
  return new Map(
    users.flatMap((user): [string, Taken][] => {
      if (emails.has(user.email)) return [[user.id, "email"]];
      return usernames.has(user.username) ? [[user.id, "username"]] : [];
    }),
  );
}

/** What a violated constraint means to the caller; any other failure as it is. */
export function translateUniqueViolation(error: unknown): unknown {
  const { constraint } = error as { constraint?: string };
  if (constraint === "users_email_key") return new EmailTakenError();
  return constraint === "users_username_key" ? new UsernameTakenError() : error;
}
