/** What roles do, without a database: the answer to a change is the error's name, or how many events it is. */
export interface RoleModel {
  create(name: string, permission: string): string | number;
  delete(name: string): string | number;
  grant(name: string, permission: string): string | number;
  revoke(name: string, permission: string): string | number;
  assign(userId: string, role: string): string | number;
  unassign(userId: string, role: string): string | number;
  removeUser(userId: string): string | number;
  /** The names and their permissions, all in order. */
  list(): [string, string[]][];
  userRoles(userId: string): { userId: string; roles: string[]; permissions: string[] } | undefined;
}

/** The contract's defaults, written down a second time on purpose. */
const builtIn: Readonly<Record<string, readonly string[]>> = { user: ["read"], admin: ["write", "delete"] };

/** Creates a model of these users with the built-in roles alone. */
export function createRoleModel(userIds: readonly string[], superuserId: string): RoleModel {
  const roles = new Map(Object.entries(builtIn).map(([name, permissions]) => [name, new Set(permissions)]));
  const assigned = new Map(userIds.map((id) => [id, new Set<string>()]));

  function refuseAssignment(userId: string, role: string): string | undefined {
    if (role in builtIn) return "RoleImpliedError";
    if (!roles.has(role)) return "RoleNotFoundError";
    return assigned.has(userId) ? undefined : "UserNotFoundError";
  }

  return {
    create(name, permission) {
      if (roles.has(name)) return "RoleExistsError";
      roles.set(name, new Set([permission]));
      return 0;
    },
    delete(name) {
      if (name in builtIn) return "RoleBuiltInError";
      if (!roles.delete(name)) return "RoleNotFoundError";
      return [...assigned.values()].filter((held) => held.delete(name)).length;
    },
    grant(name, permission) {
      return roles.get(name)?.add(permission) === undefined ? "RoleNotFoundError" : 0;
    },
    revoke(name, permission) {
      if (builtIn[name]?.includes(permission)) return "RoleBuiltInError";
      return roles.get(name)?.delete(permission) === undefined ? "RoleNotFoundError" : 0;
    },
    assign(userId, role) {
      const held = assigned.get(userId);
      const refusal = refuseAssignment(userId, role);
      if (refusal !== undefined || held === undefined) return refusal ?? "UserNotFoundError";
      const isNew = !held.has(role);
      held.add(role);
      return isNew ? 1 : 0;
    },
    unassign(userId, role) {
      const refusal = refuseAssignment(userId, role);
      return refusal ?? (assigned.get(userId)?.delete(role) === true ? 1 : 0);
    },
    removeUser: (userId) => (assigned.delete(userId) ? 1 : "UserNotFoundError"),
    list: () =>
      [...roles].map(([name, permissions]): [string, string[]] => [name, [...permissions].sort()]).sort(),
    userRoles(userId) {
      const held = assigned.get(userId);
      if (held === undefined) return undefined;
      const names = ["user", ...(userId === superuserId ? ["admin"] : []), ...held];
      const permissions = new Set(names.flatMap((name) => [...(roles.get(name) ?? [])]));
      return { userId, roles: names.sort(), permissions: [...permissions].sort() };
    },
  };
}
