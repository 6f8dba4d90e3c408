import type { CallerState } from "./batcher.ts";
import type { Principal } from "./principal.ts";

/** To make superusers, unmake them, or change what is theirs: whoever holds it can take everything. */
export const superusersPermission = "accounts:admin";

/** Keeps people from having power over those who may do more than they. */
export interface AccountGuard {
  /**
   * Whoever changes or deletes an account of somebody else must hold whatever it holds, and `accounts:admin` where it is
   * a superuser's. About an account that is not there, the change itself will say so. Costs nothing for those who may
   * do everything and a look-up that concurrent callers share for others.
   *
   * @param more what the change takes besides, also of oneself
   * @throws PermissionDeniedError that names the first that is missing, in alphabetical order
   */
  assertMayChange(
    principal: Principal,
    userId: string,
    caller?: CallerState,
    more?: readonly string[],
  ): Promise<void>;
}
