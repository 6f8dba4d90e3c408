import { draftEvent } from "../events/event.ts";
import type { EventWriter, Written } from "../events/event-writer.ts";
import type { Transaction } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { User } from "../users/user.ts";
import { lockUser, lockUsersById } from "../users/user-lock.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { bumpAccessRevision } from "./access-revision.ts";
import { RoleNotFoundError } from "./role.errors.ts";
import { deleteRole, lockRole } from "./role.repository.ts";
import type { UserRoles } from "./role.ts";
import { deleteUserRoles, findHolderIds, findUserRoles, insertUserRole } from "./user-role.repository.ts";

/**
 * Changes who has which role, with an event for each user whose roles really change.
 *
 * Locks are taken in one order, so that nobody waits in a circle: the role, the users by their ids, the rows that
 * say who has it, the log. The role comes before the users because its deletion must find everybody who has it:
 * were the users locked first, one more could be given the role before it is locked itself.
 */
export interface RoleAssignment {
  /** Roles that can be assigned and ids in their normal form. @throws RoleNotFoundError, UserNotFoundError */
  assign(userId: string, role: string, caller?: WriteCaller<UserRoles>): Promise<UserRoles>;
  /** As {@link RoleAssignment.assign}. */
  unassign(userId: string, role: string, caller?: WriteCaller<UserRoles>): Promise<UserRoles>;
  /**
   * Takes a role from everybody, then deletes it. One transaction where no more than 1,000 users have it;
   * from more it is taken so many at a time, because a transaction holds all of its events in memory, and the log's
   * head until it commits. What fails in between, also because its caller has left, can be called again: until the end
   * the role is there, and each user who has lost it has the event. The caller's record goes with the last transaction,
   * which deletes the role.
   *
   * @throws RoleNotFoundError
   */
  deleteRole(name: string, caller?: WriteCaller<void>): Promise<void>;
}

const defaultDeletionStep = 1_000;

/** Creates it; `step` is from how many users one transaction takes a role. */
export function createRoleAssignment(
  log: EventWriter,
  now: () => Date,
  step: number = defaultDeletionStep,
): RoleAssignment {
  return {
    assign: (userId, role, caller) =>
      log.write(async (transaction) => {
        const user = await lockRoleAndUser(transaction, role, userId);
        const isChanged = await insertUserRole(transaction, userId, role);
        return reportChange(transaction, user, isChanged, now());
      }, caller),

    unassign: (userId, role, caller) =>
      log.write(async (transaction) => {
        const user = await lockRoleAndUser(transaction, role, userId);
        const removed = await deleteUserRoles(transaction, [userId], role);
        return reportChange(transaction, user, removed.size > 0, now());
      }, caller),

    async deleteRole(name, caller) {
      // The steps before the last one are no deletion yet: nothing is recorded of them.
      const stepCaller = caller && {
        get aborted() {
          return caller.aborted;
        },
        get reason() {
          return caller.reason;
        },
      };
      let isBegun = false;
      const takeStep = () =>
        log.write(async (transaction) => {
          const taken = await takeFromSome(transaction, name, step, now());
          if (taken.result === "not_found" && !isBegun) throw new RoleNotFoundError();
          // Somebody else may finish what this call has begun.
          const record = taken.result === "more" ? undefined : caller?.record?.();
          return { ...taken, records: record === undefined ? [] : [record] };
        }, stepCaller);
      while ((await takeStep()) === "more") isBegun = true;
    },
  };
}

/** What a step of a deletion has found or done. */
type Step = "not_found" | "more" | "done";

async function lockRoleAndUser(transaction: Transaction, role: string, userId: string): Promise<User> {
  if (!(await lockRole(transaction, role, "use"))) throw new RoleNotFoundError();
  const user = await lockUser(transaction, userId);
  if (user === undefined) throw new UserNotFoundError();
  return user;
}

async function reportChange(
  transaction: Transaction,
  user: User,
  isChanged: boolean,
  now: Date,
): Promise<Written<UserRoles>> {
  const [roles] = await findUserRoles(transaction, [user.id]);
  if (roles === undefined) throw new UserNotFoundError();
  return { result: roles, events: isChanged ? [draftEvent("user_updated", user, now)] : [] };
}

/** Takes a role from up to `limit` users; where those were the last, deletes it. */
async function takeFromSome(
  transaction: Transaction,
  name: string,
  limit: number,
  now: Date,
): Promise<Written<Step>> {
  if (!(await lockRole(transaction, name, "delete"))) return { result: "not_found", events: [] };
  // One more than it takes tells whether any are left.
  const found = await findHolderIds(transaction, name, limit + 1);
  const ids = found.slice(0, limit);
  const users = await lockUsersById(transaction, ids);
  // Until it was locked, a user may have lost the role.
  const removed = await deleteUserRoles(transaction, ids, name);
  const isLast = found.length <= limit;
  if (isLast) {
    await deleteRole(transaction, name);
    await bumpAccessRevision(transaction);
  }
  return {
    result: isLast ? "done" : "more",
    events: users.filter((user) => removed.has(user.id)).map((user) => draftEvent("user_updated", user, now)),
  };
}
