import { PermissionDeniedError } from "../platform/access.errors.ts";
import { type AccountGuard, superusersPermission } from "../platform/account-guard.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import { normalizeUserId } from "../users/user.ts";
import type { RoleService } from "./role.service.ts";
import { opensNothing, sortedOnce, superusersRole, type UserRoles } from "./role.ts";

/**
 * Creates the guard. Otherwise whoever sets passwords would become anybody: they set one and log in with it.
 *
 * It asks before the change and not in its transaction: an account that is given more in between could as well have been
 * changed a moment earlier.
 */
export function createAccountGuard(roles: Pick<RoleService, "getUserRoles">): AccountGuard {
  return {
    async assertMayChange(principal, userId, caller, more = []) {
      if (principal.permitsAll) return;
      const isSelf = principal.user !== undefined && principal.user.id === normalizeUserId(userId);
      const held = isSelf ? [] : await roles.getUserRoles(userId, caller).then(powerOf, nothingOfNobody);
      const missing = sortedOnce([...more, ...held]).find((permission) => !principal.permits(permission));
      if (missing !== undefined) throw new PermissionDeniedError(missing);
    },
  };
}

/** What it takes to change an account, by what it is and may do. */
function powerOf({ roles, permissions }: UserRoles): readonly string[] {
  const held = permissions.filter((permission) => !opensNothing(permission));
  return roles.includes(superusersRole) ? [...held, superusersPermission] : held;
}

function nothingOfNobody(error: unknown): readonly string[] {
  if (error instanceof UserNotFoundError) return [];
  throw error;
}
