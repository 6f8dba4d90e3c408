import type { Kysely, Transaction } from "kysely";
import type { CallerState } from "./batcher.ts";
import { toOwnReason } from "./caller-left.ts";
import { isRetryable } from "./database-errors.ts";

const attempts = 5;

/**
 * Runs work in a transaction (READ COMMITTED) and commits it. A transaction that the database broke off to
 * resolve a deadlock is run again, so `work` must not keep state between runs.
 *
 * @param caller when it aborts before the commit, nothing is kept and its reason is thrown
 */
export async function inTransaction<Schema, Result>(
  database: Kysely<Schema>,
  work: (transaction: Transaction<Schema>) => Promise<Result>,
  caller?: CallerState,
): Promise<Result> {
  return untilNotBrokenOff(
    () =>
      database.transaction().execute(async (transaction) => {
        // The wait for a connection may have outlasted the caller.
        throwIfAborted(caller);
        const result = await work(transaction);
        // Nor is anything kept that nobody waits for: up to the commit it can still be dropped whole.
        throwIfAborted(caller);
        return result;
      }),
    caller,
  );
}

/**
 * Runs work that is one statement, and so a transaction of its own, which takes two round trips less. It is run again
 * as in {@link inTransaction}; here, once the statement has been sent, only the database can still drop it.
 *
 * @param caller when it aborts before `work` begins, nothing is kept and its reason is thrown
 */
export async function inOneStatement<Schema, Result>(
  database: Kysely<Schema>,
  work: (connection: Kysely<Schema>) => Promise<Result>,
  caller?: CallerState,
): Promise<Result> {
  return untilNotBrokenOff(
    () =>
      database.connection().execute(async (connection) => {
        // The wait for a connection may have outlasted the caller.
        throwIfAborted(caller);
        return work(connection);
      }),
    caller,
  );
}

async function untilNotBrokenOff<Result>(
  run: () => Promise<Result>,
  caller: CallerState | undefined,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(caller);
    try {
      return await run();
    } catch (error) {
      if (attempt === attempts || !isRetryable(error)) {
        throw toOwnReason(error, caller);
      }
    }
  }
}

function throwIfAborted(caller: CallerState | undefined): void {
  if (caller?.aborted) throw caller.reason;
}
