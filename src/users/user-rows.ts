import { type RawBuilder, type Selectable, sql } from "kysely";
import type { Account } from "./account.ts";
import type { UserTables } from "./user.table.ts";
import type { User } from "./user.ts";

/** A column that identifies a user. */
export type KeyColumn = "id" | "email" | "username";

/** A user as these statements read it: a number of milliseconds costs pg a fraction of what a date does. */
export type UserRow = Pick<Selectable<UserTables["users"]>, "id" | "email" | "username" | "is_active"> & {
  created_at_ms: number;
};

/** The same of an account. */
export type AccountRow = UserRow &
  Pick<Selectable<UserTables["users"]>, "full_name" | "is_superuser" | "token_epoch"> & {
    updated_at_ms: number;
  };

/** No more than users.v1 shows: the look-ups of a busy process are made of this. */
const userColumns =
  "id, email, username, is_active, (extract(epoch from created_at) * 1000)::float8 as created_at_ms";
/** What {@link toUser} needs. */
export const columns = sql.raw(userColumns);
/** What {@link toAccount} needs. */
export const accountColumns = sql.raw(
  `${userColumns}, full_name, is_superuser, token_epoch,
  (extract(epoch from coalesce(updated_at, created_at)) * 1000)::float8 as updated_at_ms`,
);

/**
 * For `column = …`. One JSON parameter, so that the statement's text is the same for any number and the driver has
 * nothing to escape; in a subquery, because the planner looks at each element of an array that it can see.
 */
export function anyOf(column: KeyColumn, values: readonly string[]): RawBuilder<unknown> {
  const type = sql.raw(column === "id" ? "uuid" : "text");
  return sql`any(array(select json_array_elements_text(${JSON.stringify(values)}::json)::${type}))`;
}

/** Users as a relation `given`, by one JSON parameter: the statement's text is the same for any number. */
export function rowsOf(users: readonly User[]): RawBuilder<unknown> {
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

/** The user that a row holds. */
export function toUser(row: UserRow): User {
  return {
    id: row.id,
    email: row.email,
    username: row.username ?? "",
    isActive: row.is_active,
    createdAt: new Date(row.created_at_ms),
  };
}

/** The account that a row holds. */
export function toAccount(row: AccountRow): Account {
  return {
    id: row.id,
    email: row.email,
    username: row.username ?? "",
    isActive: row.is_active,
    createdAt: new Date(row.created_at_ms),
    fullName: row.full_name,
    isSuperuser: row.is_superuser,
    updatedAt: new Date(row.updated_at_ms),
    tokenEpoch: row.token_epoch,
  };
}
