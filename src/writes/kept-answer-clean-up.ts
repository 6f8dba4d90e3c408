import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { keptForMs } from "./answer-once.ts";
import { deleteKeptAnswers } from "./kept-answer.repository.ts";

const batchSize = 1_000;
const intervalMs = 10 * 60_000;

/**
 * Deletes the answers that no repetition gets any more, in batches that each lock little. Several processes may do so
 * at once: each takes what the others leave.
 *
 * @param signal when it aborts, the batch at hand is the last
 * @returns how many
 */
export async function removeExpiredAnswers(
  database: Database,
  now: Date,
  signal?: AbortSignal,
): Promise<number> {
  const expiredAt = new Date(now.getTime() - keptForMs);
  let total = 0;
  for (let removed = batchSize; removed === batchSize && !signal?.aborted; ) {
    removed = await deleteKeptAnswers(database, expiredAt, batchSize);
    total += removed;
  }
  return total;
}

/**
 * Starts deleting, now and from time to time. A failure is logged and tried again next time.
 *
 * @returns the function that stops it, after the batch at hand
 */
export function startKeptAnswerCleanUp(database: Database, logger: Logger): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const removed = await removeExpiredAnswers(database, new Date(), closing.signal);
        logger.debug({ removed }, "expired answers to idempotency keys removed");
      } catch (error) {
        logger.warn({ err: error }, "expired answers to idempotency keys could not be removed");
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
