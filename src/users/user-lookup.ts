import { createBatchLoader } from "../platform/batch-loader.ts";
import type { OnBatch, Submit } from "../platform/batcher.ts";
import type { Database } from "../schema.ts";
import { findAccounts } from "./account.repository.ts";
import type { Account } from "./account.ts";
import { UserNotFoundError } from "./user.errors.ts";
import { findUsers } from "./user.repository.ts";
import type { User } from "./user.ts";
import type { KeyColumn } from "./user-rows.ts";

/** docs/decisions/0006-coalescing.md has the measurements. */
const bounds = { maxBatchSize: 500, maxInFlight: 2 };

/** Gets a user by its value of one column, in its normal form and as the database can take it. */
export type UserLookup = Readonly<Record<KeyColumn, Submit<string, User>>>;

/** The same for accounts. */
export type AccountLookup = Readonly<Record<"id" | "email", Submit<string, Account>>>;

/**
 * Creates the look-up: concurrent callers share queries, one column a query. A look-up fails with
 * UserNotFoundError, or with what its query failed with.
 */
export function createUserLookup(database: Database, onBatch?: OnBatch): UserLookup {
  const createLoader = (column: KeyColumn) =>
    createColumnLoader(column, (values) => findUsers(database, column, values), onBatch);
  return { id: createLoader("id"), email: createLoader("email"), username: createLoader("username") };
}

/** Creates the look-up of accounts; see {@link createUserLookup}. */
export function createAccountLookup(database: Database, onBatch?: OnBatch): AccountLookup {
  const createLoader = (column: KeyColumn) =>
    createColumnLoader(column, (values) => findAccounts(database, column, values), onBatch);
  return { id: createLoader("id"), email: createLoader("email") };
}

function createColumnLoader<Found extends User>(
  column: KeyColumn,
  find: (values: readonly string[]) => Promise<readonly Found[]>,
  onBatch: OnBatch | undefined,
): Submit<string, Found> {
  return createBatchLoader<string, Found>({
    ...bounds,
    onBatch,
    missing: () => new UserNotFoundError(),
    load: async (values) => new Map((await find(values)).map((user) => [user[column], user])),
  });
}
