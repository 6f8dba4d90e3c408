import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { deleteAddressesBefore, deleteExpiredAttempts } from "./login.repository.ts";
import { defaultLoginRules } from "./login-rules.ts";

const batchSize = 1_000;
const intervalMs = 10 * 60_000;

/**
 * Deletes what the throttle remembers for nothing: counts that have expired, addresses that have gone unused for too
 * long. In batches that each lock little.
 *
 * @param signal when it aborts, the batch at hand is the last
 * @returns how many rows
 */
export async function removeExpiredLogins(
  database: Database,
  now: Date,
  signal?: AbortSignal,
): Promise<number> {
  const unusedSinceMs = now.getTime() - defaultLoginRules.knownAddressMs;
  const kinds = [
    () => deleteExpiredAttempts(database, now.getTime(), batchSize),
    () => deleteAddressesBefore(database, unusedSinceMs, batchSize),
  ];
  let total = 0;
  for (const deleteBatch of kinds) {
    let removed = batchSize;
    while (removed === batchSize && !signal?.aborted) {
      removed = await deleteBatch();
      total += removed;
    }
  }
  return total;
}

/**
 * Starts deleting, now and from time to time. A failure is logged and tried again next time.
 *
 * @returns the function that stops it, after the batch at hand
 */
export function startLoginCleanUp(database: Database, logger: Logger): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const removed = await removeExpiredLogins(database, new Date(), closing.signal);
        logger.debug({ removed }, "expired login attempts removed");
      } catch (error) {
        logger.warn({ err: error }, "expired login attempts could not be removed");
      }
      await delay(intervalMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
    }
  }

  const running = run();
  return async () => {
    closing.abort();
    await running;
  };
}
