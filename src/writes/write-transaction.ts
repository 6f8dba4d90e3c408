import { inTransaction } from "../platform/transaction.ts";
import type { Database, Transaction } from "../schema.ts";
import { insertRecord } from "./record-rows.ts";
import type { WriteCaller } from "./write-record.ts";

/**
 * Runs a write without events in a transaction, and keeps its caller's record with it: it is inserted last, and exists
 * if and only if the write does. `work` may run more than once; `caller` is as in {@link inTransaction}.
 *
 * @throws what `work` throws, after a rollback
 */
export async function inWriteTransaction<Result>(
  database: Database,
  work: (transaction: Transaction) => Promise<Result>,
  caller?: WriteCaller<Result>,
): Promise<Result> {
  return inTransaction(
    database,
    async (transaction) => {
      const result = await work(transaction);
      const record = caller?.record?.(result);
      if (record !== undefined) await insertRecord(transaction, record);
      return result;
    },
    caller,
  );
}
