import type { AccountService } from "../users/account.service.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { AccountFacts, AccountSource } from "./account-source.ts";

/** Accounts of this process, where it serves auth itself. Concurrent look-ups share queries. */
export function createLocalAccounts(accounts: Pick<AccountService, "get">): AccountSource {
  return {
    get: (userId, caller) => accounts.get(userId, caller?.signal),
    async getMany(userIds, caller) {
      const found = await Promise.all(
        // All are asked for at once, so that they are one query.
        userIds.map((userId) => accounts.get(userId, caller?.signal).catch(ignoreMissing)),
      );
      return indexById(found);
    },
  };
}

/** Nothing in place of an account that does not exist; any other failure as it is. */
export function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof UserNotFoundError)) throw error;
}

/** The accounts there are, by id. */
export function indexById(accounts: readonly (AccountFacts | undefined)[]): Map<string, AccountFacts> {
  return new Map(accounts.flatMap((account) => (account === undefined ? [] : [[account.id, account]])));
}
