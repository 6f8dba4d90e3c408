import type { Database } from "../../src/schema.ts";

/** What an account may do. */
export interface Power {
  /** By a role of its own. */
  readonly permissions: readonly string[];
  readonly isSuperuser: boolean;
}

/** Accounts that may do all the same and that nobody logs in with. @returns their ids */
export async function insertAccounts(
  database: Database,
  { permissions, isSuperuser }: Power,
  count: number,
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  const role = `r${crypto.randomUUID()}`;
  await database
    .insertInto("users")
    .values(
      ids.map((id) => ({
        id,
        email: `${id}@example.com`,
        username: null,
        is_active: true,
        is_superuser: isSuperuser,
        created_at: new Date(),
        updated_at: null,
      })),
    )
    .execute();
  if (permissions.length === 0) return ids;
  await database.insertInto("roles").values({ name: role, description: "" }).execute();
  await database
    .insertInto("role_permissions")
    .values(permissions.map((permission) => ({ role, permission })))
    .execute();
  await database
    .insertInto("user_roles")
    .values(ids.map((id) => ({ user_id: id, role })))
    .execute();
  return ids;
}

/** The first permission that somebody lacks who would change an account; undefined where none is missing. */
export function findMissing(
  held: readonly string[],
  { permissions, isSuperuser }: Power,
  more: readonly string[] = [],
): string | undefined {
  const needed = [
    ...permissions.filter((permission) => !["read", "write", "delete"].includes(permission)),
    ...(isSuperuser ? ["accounts:admin"] : []),
    ...more,
  ];
  return needed.sort().find((permission) => !held.includes(permission));
}
