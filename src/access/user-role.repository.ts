import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { everybodysRole, impliedRoles, sortedOnce, superusersRole, type UserRoles } from "./role.ts";

interface UserRolesRow {
  id: string;
  is_superuser: boolean;
  assigned: string[];
  permissions: string[];
}

/**
 * Finds what the users that exist are and may do, in no particular order. The ids must be UUIDs.
 *
 * One statement, also over the users' own table, so that account, roles and permissions are of one moment.
 */
export async function findUserRoles(database: Database, userIds: readonly string[]): Promise<UserRoles[]> {
  const { rows } = await sql<UserRolesRow>`
    select users.id, users.is_superuser, held.assigned,
      array(
        select permission from role_permissions
        where role = any(held.assigned) or role = ${everybodysRole}
          or (users.is_superuser and role = ${superusersRole})
      ) as permissions
    from users
    cross join lateral (
      select array(select role from user_roles where user_id = users.id) as assigned
    ) as held
    where users.id = ${anyOf(userIds)}`.execute(database);
  return rows.map((row) => ({
    userId: row.id,
    roles: sortedOnce([...impliedRoles(row.is_superuser), ...row.assigned]),
    permissions: sortedOnce(row.permissions),
  }));
}

/**
 * Gives a role to a user, both of which are locked.
 *
 * @returns whether the user did not have it yet
 */
export async function insertUserRole(
  transaction: Transaction,
  userId: string,
  role: string,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into user_roles (user_id, role) values (${userId}, ${role}) on conflict do nothing`.execute(
    transaction,
  );
  return numAffectedRows === 1n;
}

/** Finds up to `limit` of those who were given a role, in the order in which users are locked. */
export async function findHolderIds(
  transaction: Transaction,
  role: string,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ user_id: string }>`
    select user_id from user_roles where role = ${role} order by user_id limit ${limit}`.execute(transaction);
  return rows.map((row) => row.user_id);
}

/**
 * Takes a role from users whose rows are locked.
 *
 * @returns the ids of those who had it
 */
export async function deleteUserRoles(
  transaction: Transaction,
  userIds: readonly string[],
  role: string,
): Promise<Set<string>> {
  const { rows } = await sql<{ user_id: string }>`
    delete from user_roles where role = ${role} and user_id = ${anyOf(userIds)} returning user_id`.execute(
    transaction,
  );
  return new Set(rows.map((row) => row.user_id));
}

/** For `column = …`: one JSON parameter, so that the statement's text is the same for any number of ids. */
function anyOf(ids: readonly string[]): RawBuilder<unknown> {
  return sql`any(array(select json_array_elements_text(${JSON.stringify(ids)}::json)::uuid))`;
}
