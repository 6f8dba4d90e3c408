import type { Kysely, Transaction } from "kysely";
import { isRetryable } from "./database-errors.ts";

const attempts = 5;

/**
 * Runs work in a transaction (READ COMMITTED) and commits it. A transaction that the database broke off to
 * resolve a deadlock is run again, so `work` must not keep state between runs.
 *
 * @param signal when it aborts before the commit, nothing is kept and its reason is thrown
 */
export async function inTransaction<Schema, Result>(
  database: Kysely<Schema>,
  work: (transaction: Transaction<Schema>) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await database.transaction().execute(async (transaction) => {
        // The wait for a connection may have outlasted the caller.
        signal?.throwIfAborted();
        const result = await work(transaction);
        // Nor is anything kept that nobody waits for: up to the commit it can still be dropped whole.
        signal?.throwIfAborted();
        return result;
      });
    } catch (error) {
      if (attempt === attempts || !isRetryable(error)) {
        throw error;
      }
    }
  }
}
