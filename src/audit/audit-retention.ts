import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { deleteEntriesBefore } from "./audit.repository.ts";

const batchSize = 1_000;

/** Looks often enough that an entry outlives its time by at most a tenth of it, or an hour. */
function intervalMs(retentionMs: number): number {
  return Math.min(Math.max(retentionMs / 10, 1_000), 3_600_000);
}

/**
 * Deletes all entries older than the retention, in batches that each take a moment.
 *
 * @param signal when it aborts, the batch at hand is the last
 * @returns how many were deleted
 */
export async function deleteExpiredEntries(
  database: Database,
  retentionMs: number,
  now: Date,
  signal?: AbortSignal,
): Promise<number> {
  const before = new Date(Math.max(now.getTime() - retentionMs, 0));
  for (let total = 0; ; ) {
    const deleted = await deleteEntriesBefore(database, before, batchSize);
    total += deleted;
    if (deleted < batchSize || signal?.aborted) {
      return total;
    }
  }
}

/**
 * Starts deleting expired entries, now and from time to time. A failure is logged and tried again next time.
 *
 * @returns the function that stops it, after the batch at hand
 */
export function startAuditRetention(
  database: Database,
  retentionMs: number,
  logger: Logger,
): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const deleted = await deleteExpiredEntries(database, retentionMs, new Date(), closing.signal);
        logger.debug({ deleted }, "expired entries of the audit log deleted");
      } catch (error) {
        logger.warn({ err: error }, "expired entries of the audit log could not be deleted");
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
