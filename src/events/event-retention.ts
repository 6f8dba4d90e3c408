import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../platform/logger.ts";
import { inTransaction } from "../platform/transaction.ts";
import type { Database } from "../schema.ts";
import { removeEventsBefore } from "./event.repository.ts";

const batchSize = 1_000;

/** Looks often enough that an event outlives its time by at most a tenth of it, or an hour. */
function intervalMs(retentionMs: number): number {
  return Math.min(Math.max(retentionMs / 10, 1_000), 3_600_000);
}

/**
 * Removes all events older than the retention, in batches that each lock the log only briefly.
 *
 * @param signal when it aborts, the batch at hand is the last
 * @returns how many were removed
 */
export async function removeExpiredEvents(
  database: Database,
  retentionMs: number,
  now: Date,
  signal?: AbortSignal,
): Promise<number> {
  const cutoff = new Date(now.getTime() - retentionMs);
  for (let total = 0; ; ) {
    const removed = await inTransaction(database, (transaction) =>
      removeEventsBefore(transaction, cutoff, batchSize),
    );
    total += removed;
    if (removed < batchSize || signal?.aborted) {
      return total;
    }
  }
}

/**
 * Starts removing expired events, now and from time to time. A failure is logged and tried again next time.
 *
 * @returns the function that stops it, after the batch at hand
 */
export function startEventRetention(
  database: Database,
  retentionMs: number,
  logger: Logger,
): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const removed = await removeExpiredEvents(database, retentionMs, new Date(), closing.signal);
        logger.debug({ removed }, "expired events removed");
      } catch (error) {
        logger.warn({ err: error }, "expired events could not be removed");
      }
      await delay(intervalMs(retentionMs), undefined, { signal: closing.signal, ref: false }).catch(() => {});
    }
  }

  const running = run();
  return async () => {
    closing.abort();
    await running;
  };
}
