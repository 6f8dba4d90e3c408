import type { HandlerContext } from "@connectrpc/connect";
import { PermissionDeniedError } from "./access.errors.ts";
import { callScope } from "./call-scope.ts";

/**
 * For what the policy cannot tell by the RPC alone: whoever calls must hold all of these. Nobody can give others what
 * they do not hold themselves.
 *
 * @throws PermissionDeniedError that names the first that is missing
 */
export function requirePermissions(
  { values }: Pick<HandlerContext, "values">,
  permissions: Iterable<string>,
): void {
  const { principal } = values.get(callScope);
  for (const permission of permissions) {
    if (!principal.permits(permission)) throw new PermissionDeniedError(permission);
  }
}
