import { createBatchLoader } from "../platform/batch-loader.ts";
import type { Submit } from "../platform/batcher.ts";
import type { Database } from "../schema.ts";
import { UserNotFoundError } from "./user.errors.ts";
import { findUsers, type KeyColumn } from "./user.repository.ts";
import type { User } from "./user.ts";

/** docs/decisions/0006-coalescing.md has the measurements. */
const bounds = { maxBatchSize: 500, maxInFlight: 2 };

/** Gets a user by its value of one column, in its normal form and as the database can take it. */
export type UserLookup = Readonly<Record<KeyColumn, Submit<string, User>>>;

/**
 * Creates the look-up: concurrent callers share queries, one column a query. A look-up fails with
 * UserNotFoundError, or with what its query failed with.
 */
export function createUserLookup(database: Database): UserLookup {
  const createLoader = (column: KeyColumn) =>
    createBatchLoader<string, User>({
      ...bounds,
      missing: () => new UserNotFoundError(),
      async load(values) {
        const users = new Map<string, User>();
        for (const user of await findUsers(database, column, values)) users.set(user[column], user);
        return users;
      },
    });
  return { id: createLoader("id"), email: createLoader("email"), username: createLoader("username") };
}
