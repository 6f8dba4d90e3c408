import type { Selectable } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { EmailTakenError, UsernameTakenError } from "./user.errors.ts";
import type { UserTables } from "./user.table.ts";
import type { User } from "./user.ts";

/** The one column to look a user up by, and the value in its normal form. */
export type UserKey =
  | { readonly column: "id"; readonly value: string }
  | { readonly column: "email"; readonly value: string }
  | { readonly column: "username"; readonly value: string };

/** Why a row was not inserted. */
export type Taken = "email" | "username";

/** Finds one user. */
export async function findUser(
  database: Database,
  key: UserKey,
  signal?: AbortSignal,
): Promise<User | undefined> {
  const row = await database
    .selectFrom("users")
    .selectAll()
    .where(key.column, "=", key.value)
    .executeTakeFirst(signal === undefined ? {} : { signal });
  return row && toUser(row);
}

/** Finds the users that exist, in no particular order. */
export async function findUsers(
  database: Database,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<User[]> {
  const rows = await database
    .selectFrom("users")
    .selectAll()
    .where("id", "in", ids)
    .execute(signal === undefined ? {} : { signal });
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
    .selectAll()
    .$if(afterId !== undefined, (query) => query.where("id", ">", afterId as string))
    .orderBy("id")
    .limit(limit)
    .execute(signal === undefined ? {} : { signal });
  return rows.map(toUser);
}

/** Reads a user and locks its row until the transaction ends. */
export async function lockUser(transaction: Transaction, id: string): Promise<User | undefined> {
  const row = await transaction
    .selectFrom("users")
    .selectAll()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  return row && toUser(row);
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
    const inserted = await transaction
      .insertInto("users")
      .values(pending.map(toRow))
      .onConflict((conflict) => conflict.doNothing())
      .returning("id")
      .execute();
    const insertedIds = new Set(inserted.map((row) => row.id));
    const left = pending.filter((user) => !insertedIds.has(user.id));
    for (const [id, taken] of await findTaken(transaction, left)) {
      refused.set(id, taken);
    }
    // Whom a user collided with may have been deleted between the two statements: then it is tried again.
    pending = left.filter((user) => !refused.has(user.id));
  }
  return refused;
}

async function findTaken(transaction: Transaction, users: readonly User[]): Promise<Map<string, Taken>> {
  if (users.length === 0) {
    return new Map();
  }
  const holders = await transaction
    .selectFrom("users")
    .select(["email", "username"])
    .where((where) =>
      where.or([
        where(
          "email",
          "in",
          users.map((user) => user.email),
        ),
        where(
          "username",
          "in",
          users.map((user) => user.username),
        ),
      ]),
    )
    .execute();
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
 * Writes a user's changed fields. The row must be locked.
 *
 * @throws EmailTakenError, UsernameTakenError
 */
export async function updateUser(transaction: Transaction, user: User): Promise<void> {
  try {
    await transaction
      .updateTable("users")
      .set({ email: user.email, username: user.username, is_active: user.isActive })
      .where("id", "=", user.id)
      .execute();
  } catch (error) {
    throw translateUniqueViolation(error);
  }
}

/** Deletes a user. */
export async function deleteUser(transaction: Transaction, id: string): Promise<void> {
  await transaction.deleteFrom("users").where("id", "=", id).execute();
}

function translateUniqueViolation(error: unknown): unknown {
  const { constraint } = error as { constraint?: string };
  if (constraint === "users_email_key") return new EmailTakenError();
  return constraint === "users_username_key" ? new UsernameTakenError() : error;
}

function toUser(row: Selectable<UserTables["users"]>): User {
  return {
    id: row.id,
    email: row.email,
    username: row.username,
    isActive: row.is_active,
    createdAt: row.created_at,
  };
}

function toRow(user: User): Selectable<UserTables["users"]> {
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    is_active: user.isActive,
    created_at: user.createdAt,
  };
}
