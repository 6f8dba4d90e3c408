import { draftEvent } from "../events/event.ts";
import type { EventWriter, Written } from "../events/event-writer.ts";
import type { Transaction } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { User } from "../users/user.ts";
import { lockUser, lockUsersById } from "../users/user-lock.ts";
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
  assign(userId: string, role: string, signal?: AbortSignal): Promise<UserRoles>;
  /** As {@link RoleAssignment.assign}. */
  unassign(userId: string, role: string, signal?: AbortSignal): Promise<UserRoles>;
  /**
   * Takes a role from everybody, then deletes it. One transaction where no more than 1,000 users have it;
   * from more it is taken so many at a time, because a transaction holds all of its events in memory, and the log's
   * head until it commits. What fails in between, also by its signal, can be called again: until the end the role is
   * there, and each user who has lost it has the event.
   *
   * @throws RoleNotFoundError
   */
  deleteRole(name: string, signal?: AbortSignal): Promise<void>;
}

const defaultDeletionStep = 1_000;

/** Creates it; `step` is from how many users one transaction takes a role. */
export function createRoleAssignment(
  log: EventWriter,
  now: () => Date,
  step: number = defaultDeletionStep,
): RoleAssignment {
  return {
    assign: (userId, role, signal) =>
      log.write(async (transaction) => {
        const user = await lockRoleAndUser(transaction, role, userId);
        const isChanged = await insertUserRole(transaction, userId, role);
        return reportChange(transaction, user, isChanged, now());
      }, signal),

    unassign: (userId, role, signal) =>
      log.write(async (transaction) => {
        const user = await lockRoleAndUser(transaction, role, userId);
        const removed = await deleteUserRoles(transaction, [userId], role);
        return reportChange(transaction, user, removed.size > 0, now());
      }, signal),

    async deleteRole(name, signal) {
      const takeStep = () => log.write((transaction) => takeFromSome(transaction, name, step, now()), signal);
      let outcome = await takeStep();
      if (outcome === "not_found") throw new RoleNotFoundError();
      // Somebody else may finish what this call has begun.
      while (outcome === "more") outcome = await takeStep();
    },
  };
}

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
): Promise<Written<"not_found" | "more" | "done">> {
  if (!(await lockRole(transaction, name, "delete"))) return { result: "not_found", events: [] };
  // One more than it takes tells whether any are left.
  const found = await findHolderIds(transaction, name, limit + 1);
  const ids = found.slice(0, limit);
  const users = await lockUsersById(transaction, ids);
  // Until it was locked, a user may have lost the role.
  const removed = await deleteUserRoles(transaction, ids, name);
  const isLast = found.length <= limit;
  if (isLast) await deleteRole(transaction, name);
  return {
    result: isLast ? "done" : "more",
    events: users.filter((user) => removed.has(user.id)).map((user) => draftEvent("user_updated", user, now)),
  };
}
