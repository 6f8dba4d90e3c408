import type { EventWriter } from "../events/event-writer.ts";
import { createBatchLoader } from "../platform/batch-loader.ts";
import type { CallerState } from "../platform/batcher.ts";
import type { Database, Transaction } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import { requireUserId } from "../users/user.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import { bumpAccessRevision } from "./access-revision.ts";
import { RoleBuiltInError, RoleExistsError, RoleImpliedError, RoleNotFoundError } from "./role.errors.ts";
import * as repository from "./role.repository.ts";
import {
  assertPermission,
  createRole,
  isBuiltIn,
  isBuiltInPermission,
  isRoleName,
  type NewRole,
  type Role,
  type UserRoles,
} from "./role.ts";
import { createRoleAssignment } from "./role-assignment.ts";
import { findUserRoles } from "./user-role.repository.ts";

/**
 * Roles, what they permit and who has them. Each change of the roles of a user is one `user_updated` in the log;
 * what changes nothing is no error and no event. A call that fails with its caller's reason has changed nothing, except
 * the deletion of a role that very many have.
 */
export interface RoleService {
  /** All roles, in alphabetical order. */
  list(signal?: AbortSignal): Promise<Role[]>;
  /** Finds a role by its name. */
  find(name: string, signal?: AbortSignal): Promise<Role | undefined>;
  /** @throws InvalidInputError, RoleExistsError */
  create(role: NewRole, caller?: WriteCaller<Role>): Promise<Role>;
  /** Takes it from everybody first, see {@link RoleAssignment.deleteRole}. @throws RoleNotFoundError, RoleBuiltInError */
  delete(name: string, caller?: WriteCaller<void>): Promise<void>;
  /** The role after the change. @throws InvalidInputError, RoleNotFoundError */
  grantPermission(name: string, permission: string, caller?: WriteCaller<Role>): Promise<Role>;
  /** The role after the change. @throws RoleNotFoundError, RoleBuiltInError */
  revokePermission(name: string, permission: string, caller?: WriteCaller<Role>): Promise<Role>;
  /** What the user is after the change. @throws RoleNotFoundError, RoleImpliedError, UserNotFoundError */
  assign(userId: string, role: string, caller?: WriteCaller<UserRoles>): Promise<UserRoles>;
  /** What the user is after the change. @throws RoleNotFoundError, RoleImpliedError, UserNotFoundError */
  unassign(userId: string, role: string, caller?: WriteCaller<UserRoles>): Promise<UserRoles>;
  /** What the user is and may do, at one moment; concurrent callers share queries. @throws UserNotFoundError */
  getUserRoles(userId: string, signal?: CallerState): Promise<UserRoles>;
}

/** What the service is made of. */
export interface RoleServiceDependencies {
  readonly database: Database;
  readonly log: EventWriter;
  readonly now: () => Date;
  /** See {@link createRoleAssignment}. */
  readonly deletionStep?: number;
}

/** As for the look-ups of users: docs/decisions/0006-coalescing.md. */
const lookupBounds = { maxBatchSize: 500, maxInFlight: 2 };

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createRoleService(dependencies: RoleServiceDependencies): RoleService {
  const { database, log, now, deletionStep } = dependencies;
  const assignment = createRoleAssignment(log, now, deletionStep);
  const loadUserRoles = createBatchLoader<string, UserRoles>({
    ...lookupBounds,
    missing: () => new UserNotFoundError(),
    load: async (ids) => new Map((await findUserRoles(database, ids)).map((found) => [found.userId, found])),
  });

  /** Changes a role's permissions and reads it in one transaction. */
  function changeRole(
    name: string,
    change: (transaction: Transaction) => Promise<void>,
    caller: WriteCaller<Role> | undefined,
  ): Promise<Role> {
    return inWriteTransaction(
      database,
      async (transaction) => {
        if (!(await repository.lockRole(transaction, name, "use"))) throw new RoleNotFoundError();
        await change(transaction);
        const role = await repository.findRole(transaction, name);
        if (role === undefined) throw new RoleNotFoundError();
        await bumpAccessRevision(transaction);
        return role;
      },
      caller,
    );
  }

  return {
    async list(signal) {
      signal?.throwIfAborted();
      const roles = await repository.listRoles(database);
      return roles.sort((one, other) => (one.name < other.name ? -1 : 1));
    },

    async find(name, signal) {
      signal?.throwIfAborted();
      return isRoleName(name) ? repository.findRole(database, name) : undefined;
    },

    async create(input, caller) {
      const role = createRole(input);
      return inWriteTransaction(
        database,
        async (transaction) => {
          if (!(await repository.insertRole(transaction, role))) throw new RoleExistsError();
          await bumpAccessRevision(transaction);
          return role;
        },
        caller,
      );
    },

    async delete(name, caller) {
      if (isBuiltIn(name)) throw new RoleBuiltInError();
      await assignment.deleteRole(requireRoleName(name), caller);
    },

    async grantPermission(name, permission, caller) {
      assertPermission(permission);
      return changeRole(
        requireRoleName(name),
        (transaction) => repository.insertPermission(transaction, name, permission),
        caller,
      );
    },

    async revokePermission(name, permission, caller) {
      assertPermission(permission);
      if (isBuiltInPermission(name, permission)) throw new RoleBuiltInError();
      return changeRole(
        requireRoleName(name),
        (transaction) => repository.deletePermission(transaction, name, permission),
        caller,
      );
    },

    async assign(userId, role, caller) {
      return assignment.assign(requireUserId(userId), requireAssignable(role), caller);
    },

    async unassign(userId, role, caller) {
      return assignment.unassign(requireUserId(userId), requireAssignable(role), caller);
    },

    async getUserRoles(userId, signal) {
      return loadUserRoles(requireUserId(userId), signal);
    },
  };
}

/** @throws RoleNotFoundError where no role can have the name: the database is not asked, and might refuse the text */
function requireRoleName(text: string): string {
  if (!isRoleName(text)) throw new RoleNotFoundError();
  return text;
}

function requireAssignable(role: string): string {
  if (isBuiltIn(role)) throw new RoleImpliedError();
  return requireRoleName(role);
}
