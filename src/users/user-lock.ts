import type { Transaction } from "../schema.ts";
import { lockUsers } from "./account.repository.ts";
import { normalizeUserId, type User } from "./user.ts";

/**
 * For other slices' writes that concern a user: reads it and keeps it as it is until the transaction ends, waiting
 * for whoever changes it. Before it, a transaction may lock only what nobody waits for who has locked a user (a
 * role); the events come last.
 *
 * @returns undefined where there is no such user; any text may be asked for
 */
export async function lockUser(transaction: Transaction, userId: string): Promise<User | undefined> {
  const id = normalizeUserId(userId);
  return id === undefined ? undefined : (await lockUsersById(transaction, [id]))[0];
}

/** The same for several: those that exist, in the order of their ids, which is the order in which they are locked. */
export async function lockUsersById(transaction: Transaction, ids: readonly string[]): Promise<User[]> {
  const { users } = await lockUsers(transaction, ids, true);
  return [...users.values()];
}
