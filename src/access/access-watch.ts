import { setTimeout as delay } from "node:timers/promises";
import { runDetached } from "../platform/current-work.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { readAccessRevision } from "./access-revision.ts";

/**
 * Knows how new memory of keys, roles and permissions is: the revision of `access_head`, which rises with every change
 * of them, as it was at most a second ago.
 */
export interface AccessWatch {
  /**
   * The revision; undefined where it has not been confirmed within the last second. Whoever keeps something in memory
   * reads it before loading, keeps it beside what was loaded, and believes that as long as it is the same here. Asking
   * keeps the watch awake; while nobody asks, nothing is read.
   */
  current(): bigint | undefined;
  close(): Promise<void>;
}

/** What a watch is made of. */
export interface AccessWatchDependencies {
  readonly database: Database;
  readonly logger: Logger;
  /** After this long without a question, nothing is read any more. */
  readonly idleMs?: number;
}

/** A change is seen within this time after its commit, or the revision is not known. */
const trustedMs = 1_000;
/** Leaves a read six tenths of a second before the last one is no longer trusted. */
const pollIntervalMs = 400;
/** A read that takes longer has lost its database (a frozen server sends no error). */
const readTimeoutMs = 2_000;

/**
 * Creates a watch. A read counts from its start: what commits while it is under way may be missing in it, what has
 * committed before is not.
 */
export function createAccessWatch({
  database,
  logger,
  idleMs = 60_000,
}: AccessWatchDependencies): AccessWatch {
  const closing = new AbortController();
  let revision: bigint | undefined;
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let askedAt = Number.NEGATIVE_INFINITY;
  let isFailing = false;
  let following: Promise<void> | undefined;
  let abortRead = (): void => {};

  async function read(): Promise<void> {
    // A timer that is cleared: AbortSignal.timeout would keep every read of the last seconds in memory.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), readTimeoutMs);
    abortRead = () => late.abort();
    const startedAt = performance.now();
    try {
      revision = await readAccessRevision(database, late.signal);
      confirmedAt = startedAt;
      report(false);
    } catch (error) {
      // One that was dropped to close says nothing of the database.
      if (!closing.signal.aborted) report(true, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async function follow(): Promise<void> {
    while (!closing.signal.aborted && performance.now() - askedAt <= idleMs) {
      const nextAt = performance.now() + pollIntervalMs;
      await read();
      const pauseMs = Math.max(0, nextAt - performance.now());
      await delay(pauseMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
    }
    following = undefined;
    revision = undefined;
    confirmedAt = Number.NEGATIVE_INFINITY;
  }

  function report(failing: boolean, error?: unknown): void {
    if (failing === isFailing) return;
    isFailing = failing;
    if (failing) {
      logger.error({ err: error }, "keys, roles and permissions are looked up each time for now");
    } else {
      logger.info("keys, roles and permissions can be kept in memory again");
    }
  }

  return {
    current() {
      const now = performance.now();
      askedAt = now;
      if (following === undefined && !closing.signal.aborted) following = runDetached(follow);
      return now - confirmedAt < trustedMs ? revision : undefined;
    },
    async close() {
      closing.abort();
      abortRead();
      await following;
    },
  };
}
