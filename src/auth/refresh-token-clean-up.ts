import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { deleteExpiredFamilies, deleteExpiredTokens } from "./refresh-token.repository.ts";

const batchSize = 1_000;
const intervalMs = 3_600_000;

/**
 * Deletes the refresh tokens that have expired, and then the families that have none left, in batches that each take
 * a moment.
 *
 * @param nowMs Unix milliseconds
 * @param signal when it aborts, the batch at hand is the last
 * @returns how many tokens were deleted
 */
export async function deleteExpiredRefreshTokens(
  database: Database,
  nowMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const tokens = await deleteInBatches((limit) => deleteExpiredTokens(database, nowMs, limit), signal);
  await deleteInBatches((limit) => deleteExpiredFamilies(database, nowMs, limit), signal);
  return tokens;
}

async function deleteInBatches(
  deleteBatch: (limit: number) => Promise<number>,
  signal: AbortSignal | undefined,
): Promise<number> {
  for (let total = 0; ; ) {
    const deleted = await deleteBatch(batchSize);
    total += deleted;
    if (deleted < batchSize || signal?.aborted === true) return total;
  }
}

/**
 * Starts deleting expired refresh tokens, now and once an hour. A failure is logged and tried again next time.
 *
 * @returns the function that stops it, after the batch at hand
 */
export function startRefreshTokenCleanUp(database: Database, logger: Logger): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const deleted = await deleteExpiredRefreshTokens(database, Date.now(), closing.signal);
        logger.debug({ deleted }, "expired refresh tokens deleted");
      } catch (error) {
        logger.warn({ err: error }, "expired refresh tokens could not be deleted");
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
