import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { findChangedUsers } from "../../events/changed-users.ts";
import { createBatcher } from "../../platform/batcher.ts";
import { DatabaseUnavailableError } from "../../platform/errors.ts";
import { inTransaction } from "../../platform/transaction.ts";
import type { Database, Transaction } from "../../schema.ts";
import {
  indexUsers,
  indexUsersAfter,
  lockSearchHead,
  moveSearchHead,
  readDistance,
  type SearchHead,
} from "./search-index.repository.ts";

/** The documents that searches read: a projection of the event log. */
export interface SearchIndex {
  /**
   * Brings the index to where the log is now, or further. All who call during one run share the next. A signal
   * that aborts takes its call out only before its run has begun.
   *
   * @throws DatabaseUnavailableError after the index was closed
   */
  catchUp(signal?: AbortSignal): Promise<void>;
  /** The same in the background, in no more than a tenth of the time: whoever writes must hardly notice. */
  catchUpAtLeisure(): Promise<void>;
  /** Ends after the step at hand; the next run goes on from there. */
  close(): void;
}

/** After a step at leisure, so many times as long as it took. */
const restPerStep = 9;

/** How many events, and in a rebuild how many users, one transaction applies: some 20 ms of a database's time. */
const defaultStepSize = 500;

const beforeAllIds = "00000000-0000-0000-0000-000000000000";

/** Creates the index. Any number of processes may, on one database: they take turns. */
export function createSearchIndex(database: Database, stepSize = defaultStepSize): SearchIndex {
  const closing = new AbortController();

  async function run(rest: (stepMs: number) => Promise<void>): Promise<void> {
    const distance = await readDistance(database);
    for (let isCurrent = distance.isCurrent; !isCurrent; ) {
      if (closing.signal.aborted) {
        throw new DatabaseUnavailableError({ cause: closing.signal.reason });
      }
      const begin = performance.now();
      const reached = await inTransaction(database, (transaction) => step(transaction, stepSize));
      isCurrent = reached.revision >= distance.head && reached.rebuiltTo === null;
      if (!isCurrent) await rest(performance.now() - begin);
    }
  }

  const catchUp = createBatcher<void, void>({
    maxBatchSize: Number.POSITIVE_INFINITY,
    maxInFlight: 1,
    async run(callers) {
      // The embedded database answers within the turn of the event loop: others must get theirs.
      await run(() => setImmediate());
      for (const caller of callers) caller.resolve();
    },
  });
  return {
    catchUp: (signal) => catchUp(undefined, signal),
    catchUpAtLeisure: () =>
      run((stepMs) =>
        delay(restPerStep * stepMs, undefined, { signal: closing.signal, ref: false }).catch(() => {}),
      ),
    close: () => closing.abort(),
  };
}

/**
 * Moves the index on by one step: in a rebuild by a page of the users, else by a stretch of the log.
 *
 * A rebuild begins at the log's head. A change up to there is in every page, since pages are read later; one
 * behind it has an event, which is applied when the rebuild is done.
 */
async function step(transaction: Transaction, size: number): Promise<SearchHead> {
  const head = await lockSearchHead(transaction);
  const next =
    head.rebuiltTo === null
      ? await applyEvents(transaction, head, size)
      : { ...head, rebuiltTo: await indexUsersAfter(transaction, head.rebuiltTo, size) };
  await moveSearchHead(transaction, next);
  return next;
}

async function applyEvents(transaction: Transaction, head: SearchHead, size: number): Promise<SearchHead> {
  const changed = await findChangedUsers(transaction, head.revision, size);
  const isUnbroken =
    head.databaseId === changed.databaseId && head.revision >= changed.floor && head.revision <= changed.head;
  if (!isUnbroken) {
    return { databaseId: changed.databaseId, revision: changed.head, rebuiltTo: beforeAllIds };
  }
  await indexUsers(transaction, changed.userIds);
  return { ...head, revision: changed.upTo };
}
