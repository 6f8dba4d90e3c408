import type { AccountState } from "../auth/account-watch.ts";
import type { TokenHolder } from "../auth/token-holder.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { AccessWatch } from "./access-watch.ts";
import type { RoleService } from "./role.service.ts";

/** What users may do by their roles. */
export interface UserPermissions {
  /**
   * As it was at most a second ago; undefined where the account is gone by now. At once where it is in memory, and
   * then the same object as before until something changes.
   *
   * @throws DatabaseUnavailableError, the database's error, where that had to be asked
   */
  find(holder: TokenHolder): ReadonlySet<string> | Promise<ReadonlySet<string> | undefined>;
}

interface KnownPermissions {
  readonly permissions: ReadonlySet<string>;
  /** That of everybody's roles and permissions before they were loaded. */
  readonly revision: bigint;
}

/**
 * Creates the look-up over a memory that two things vouch for. Which roles a user has changes with an event of the
 * user, after which the account's state is another object; what the roles permit changes with the access revision.
 */
export function createUserPermissions(
  roles: Pick<RoleService, "getUserRoles">,
  watch: Pick<AccessWatch, "current">,
): UserPermissions {
  const known = new WeakMap<AccountState, KnownPermissions>();

  async function load({ token, account }: TokenHolder, revision: bigint | undefined) {
    try {
      const found = await withDatabaseDeadline(() => roles.getUserRoles(token.userId));
      const permissions = new Set(found.permissions);
      if (revision !== undefined) known.set(account, { permissions, revision });
      return permissions;
    } catch (error) {
      if (error instanceof UserNotFoundError) return undefined;
      throw error;
    }
  }

  return {
    find(holder) {
      const revision = watch.current();
      const kept = known.get(holder.account);
      return kept !== undefined && kept.revision === revision ? kept.permissions : load(holder, revision);
    },
  };
}
