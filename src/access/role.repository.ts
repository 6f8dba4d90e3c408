import { sql } from "kysely";
import type { Database, Transaction } from "../schema.ts";
import { type Role, toRole } from "./role.ts";

interface RoleRow {
  name: string;
  description: string;
  permissions: string[];
}

const selectRoles = sql`
  select name, description,
    array(select permission from role_permissions where role = roles.name) as permissions
  from roles`;

/** All roles, in no particular order. */
export async function listRoles(database: Database): Promise<Role[]> {
  const { rows } = await sql<RoleRow>`${selectRoles}`.execute(database);
  return rows.map(toRole);
}

/** Finds a role by its name. */
export async function findRole(database: Database, name: string): Promise<Role | undefined> {
  const { rows } = await sql<RoleRow>`${selectRoles} where name = ${name}`.execute(database);
  return rows[0] && toRole(rows[0]);
}

/**
 * Inserts a role with its permissions, unless there is one of its name.
 *
 * @returns whether it was inserted
 */
export async function insertRole(database: Database, role: Role): Promise<boolean> {
  const { rows } = await sql`
    with created as (
      insert into roles (name, description) values (${role.name}, ${role.description})
      on conflict do nothing returning name
    ), granted as (
      insert into role_permissions (role, permission)
      select name, json_array_elements_text(${JSON.stringify(role.permissions)}::json) from created
    )
    select name from created`.execute(database);
  return rows.length > 0;
}

/**
 * Locks a role until the transaction ends. Roles are locked before users, and nobody who has locked a user waits
 * for a role.
 *
 * @param purpose `use` keeps the role from being deleted, `delete` also keeps everybody from using it
 * @returns whether there is such a role
 */
export async function lockRole(
  transaction: Transaction,
  name: string,
  purpose: "use" | "delete",
): Promise<boolean> {
  const { rows } = await sql`
    select name from roles where name = ${name}
    for ${sql.raw(purpose === "use" ? "key share" : "update")}`.execute(transaction);
  return rows.length > 0;
}

/** Deletes a role; whoever still had it loses it. */
export async function deleteRole(transaction: Transaction, name: string): Promise<void> {
  await sql`delete from roles where name = ${name}`.execute(transaction);
}

/** Lets a role that there is do something, if it may not yet. */
export async function insertPermission(
  transaction: Transaction,
  role: string,
  permission: string,
): Promise<void> {
  await sql`
    insert into role_permissions (role, permission) values (${role}, ${permission})
    on conflict do nothing`.execute(transaction);
}

/** Stops letting a role do something, if it may. */
export async function deletePermission(
  transaction: Transaction,
  role: string,
  permission: string,
): Promise<void> {
  await sql`
    delete from role_permissions where role = ${role} and permission = ${permission}`.execute(transaction);
}
