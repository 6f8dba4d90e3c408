import type { TestContext } from "node:test";
import { createUserSearch, type UserSearch } from "../../src/profiles/search/user-search.ts";
import type { Database } from "../../src/schema.ts";
import type { Account, AccountChange } from "../../src/users/account.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { type EventSystem, neverPoll, testLogger } from "./event-system.ts";

/** A search that indexes when it is asked and (but for once at its start) at no other time. */
export function openSearch(t: TestContext, database: Database, stepSize?: number): UserSearch {
  const search = createUserSearch({
    database,
    logger: testLogger,
    followIntervalMs: neverPoll,
    ...(stepSize !== undefined && { stepSize }),
  });
  cleanUpAfter(t, search.close);
  return search;
}

/** Creates an account, and changes it where `change` says so. */
export async function createAccount(
  { accounts }: Pick<EventSystem, "accounts">,
  email: string,
  fullName: string,
  change?: AccountChange,
): Promise<Account> {
  const account = await accounts.create({
    email,
    fullName,
    isActive: true,
    isSuperuser: false,
    passwordHash: "$argon2id$none",
  });
  return change === undefined ? account : accounts.update(account.id, change);
}

/** Finds by a text, in one page of at most 1,000, and gives the ids. */
export async function findIds(search: UserSearch, text: string): Promise<readonly string[]> {
  return (await search.search({ text, limit: 1_000, offset: 0, filters: [] })).userIds;
}
