import { type RawBuilder, type Selectable, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { EmailTakenError, UsernameTakenError } from "./user.errors.ts";
import type { UserTables } from "./user.table.ts";
import type { User } from "./user.ts";

/** A column that identifies a user. */
export type KeyColumn = "id" | "email" | "username";

/** The one column to look a user up by, and the value. */
export interface UserKey {
  readonly column: KeyColumn;
  readonly value: string;
}

/** Why a row was not inserted. */
export type Taken = "email" | "username";

/** A user as these statements read it: a number of milliseconds costs pg a fraction of what a date does. */
type UserRow = Omit<Selectable<UserTables["users"]>, "created_at"> & { created_at_ms: number };

const columns = sql.raw(
  "id, email, username, is_active, (extract(epoch from created_at) * 1000)::float8 as created_at_ms",
);

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
  const rows = await database
    .selectFrom("users")
    .select(["id", "email", "username", "is_active"])
    .select(sql<number>`(extract(epoch from created_at) * 1000)::float8`.as("created_at_ms"))
    .$if(afterId !== undefined, (query) => query.where("id", ">", afterId as string))
    .orderBy("id")
    .limit(limit)
    .execute(signal === undefined ? {} : { signal });
  return rows.map(toUser);
}

/**
 * Reads users and locks their rows until the transaction ends, in the order of their ids, so that two
 * transactions never wait for each other.
 *
 * @param mayWait whether to wait for rows that others have locked; if not, their ids are told apart
 */
export async function lockUsers(
  transaction: Transaction,
  ids: readonly string[],
  mayWait: boolean,
): Promise<{ users: Map<string, User>; busyIds: Set<string> }> {
  const { rows } = await sql<UserRow>`
    select ${columns} from users where id = ${anyOf("id", ids)}
    order by id for update ${sql.raw(mayWait ? "" : "skip locked")}`.execute(transaction);
  const users = new Map(rows.map((row) => [row.id, toUser(row)]));
  const missing = mayWait ? [] : ids.filter((id) => !users.has(id));
  const busy = missing.length === 0 ? [] : await findUsers(transaction, "id", missing);
  return { users, busyIds: new Set(busy.map((user) => user.id)) };
}

/** Finds who holds any of the emails or any of the usernames. */
export async function findNameHolders(
  database: Database,
  emails: readonly string[],
  usernames: readonly string[],
): Promise<Pick<User, "id" | "email" | "username">[]> {
  const { rows } = await sql<Pick<User, "id" | "email" | "username">>`
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
  select user_id, email, username, is_active, created_at::timestamptz from draft order by ordinal
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

/**
 * Writes the changed fields of users whose rows are locked.
 *
 * @throws EmailTakenError, UsernameTakenError where somebody else has just taken a name
 */
export async function updateUsers(transaction: Transaction, users: readonly User[]): Promise<void> {
  await sql`
    update users set email = given.email, username = given.username, is_active = given.is_active
    from ${rowsOf(users)} where users.id = given.id`.execute(transaction);
}

/** Deletes users. */
export async function deleteUsers(transaction: Transaction, ids: readonly string[]): Promise<void> {
  await sql`delete from users where id = ${anyOf("id", ids)}`.execute(transaction);
}

/** What a violated constraint means to the caller; any other failure as it is. */
export function translateUniqueViolation(error: unknown): unknown {
  const { constraint } = error as { constraint?: string };
  if (constraint === "users_email_key") return new EmailTakenError();
  return constraint === "users_username_key" ? new UsernameTakenError() : error;
}

/**
 * For `column = …`. One JSON parameter, so that the statement's text is the same for any number and the driver has
 * nothing to escape; in a subquery, because the planner looks at each element of an array that it can see.
 */
function anyOf(column: KeyColumn, values: readonly string[]): RawBuilder<unknown> {
  const type = sql.raw(column === "id" ? "uuid" : "text");
  return sql`any(array(select json_array_elements_text(${JSON.stringify(values)}::json)::${type}))`;
}

/** Users as a relation `given`, by one JSON parameter: the statement's text is the same for any number. */
function rowsOf(users: readonly User[]): RawBuilder<unknown> {
  const rows = users.map(({ id, email, username, isActive, createdAt }) => ({
    id,
    email,
    username,
    is_active: isActive,
    created_at: createdAt,
  }));
  return sql`json_to_recordset(${JSON.stringify(rows)}::json)
    as given(id uuid, email text, username text, is_active boolean, created_at timestamptz)`;
}

function toUser(row: UserRow): User {
  return {
    id: row.id,
    email: row.email,
    username: row.username,
    isActive: row.is_active,
    createdAt: new Date(row.created_at_ms),
  };
}
