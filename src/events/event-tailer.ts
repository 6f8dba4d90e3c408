import { translateDatabaseError } from "../platform/database-errors.ts";
import { DatabaseUnavailableError } from "../platform/errors.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { type Commit, createCommittedEvents } from "./committed-events.ts";
import { type LogState, readEventsAfter } from "./event.repository.ts";
import { everyEvent, type LoggedEvent } from "./event.ts";
import { createEventRing, type EventRing } from "./event-ring.ts";
import type { LogObserver } from "./log-observer.ts";
import { createWake, type Wake } from "./wake.ts";

/** The one reader of the log's end in a process. */
export interface EventTailer {
  /** The log as of the last read. */
  readonly state: LogState;
  readonly ring: EventRing;
  /** Wakes whoever follows the ring: it has grown, or was begun anew. */
  readonly grown: Wake;
  /** Whether the last read succeeded. */
  readonly isHealthy: boolean;
  /** Called when {@link isHealthy} changes. */
  onHealthChange(listener: (healthy: boolean) => void): void;
  /** Says that there may be something new. A log that nobody follows is not read for it. */
  wake(): void;
  /**
   * Gives what this process has committed. Where it follows what is known, it is handed on as it is, without being
   * read back from the table.
   */
  offer(commit: Commit): void;
  /**
   * Reads to the log's end, as it is now or later. All who call during one read share the next.
   *
   * @throws DatabaseUnavailableError
   */
  catchUp(): Promise<void>;
  /** Stops reading. Pending and later {@link catchUp} calls fail. */
  close(): Promise<void>;
}

/** What a tailer can be told; tests make these small, to reach in a few events what takes many otherwise. */
export interface TailerOptions {
  /** How many events it reads at once. */
  readonly pageSize?: number;
  /** How many events the ring keeps at least. */
  readonly ringCapacity?: number;
  /** It waits at most this long between two reads, whatever wake-ups are lost. */
  readonly pollIntervalMs?: number;
  readonly observer?: Pick<LogObserver, "eventsRead"> | undefined;
}

/**
 * Handing events on costs the more the more subscribers there are, hardly more for ten events than for one. So what
 * comes in quick succession waits for each other: this much a subscriber, up to the longest.
 */
const spacing = { perSubscriberMs: 0.05, longestMs: 10 };

/** A read that takes longer has lost its database (a frozen server sends no error). */
const readTimeoutMs = 5_000;

/**
 * Opens the log at its present end and follows it.
 *
 * @throws DatabaseUnavailableError where the first read fails
 */
export async function openEventTailer(
  database: Database,
  logger: Logger,
  { pageSize = 1_000, ringCapacity = 8_192, pollIntervalMs = 1_000, observer }: TailerOptions = {},
): Promise<EventTailer> {
  const closing = new AbortController();
  const work = createWake();
  const called = work.subscribe(closing.signal);
  const grown = createWake();
  const healthListeners: ((healthy: boolean) => void)[] = [];
  let callers: PromiseWithResolvers<void>[] = [];
  const committed = createCommittedEvents();
  let wanted = false;
  /** Whether somebody else may have written, or one who calls must be sure of it. */
  let unread = false;
  let readAt = performance.now();
  let healthy = true;
  let abortRead = (): void => {};
  let handedOnAt = 0;

  // Nobody wants what happened before the process began: start at the head, wherever it is.
  let state = toState(await read(0n, 0));
  let ring = createEventRing(state.head, ringCapacity);

  async function read(after: bigint, limit: number) {
    // A timer that is cleared: AbortSignal.timeout would keep every read of the last seconds in memory.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), readTimeoutMs);
    abortRead = () => late.abort();
    try {
      return await readEventsAfter(database, after, everyEvent, limit, late.signal);
    } catch (error) {
      throw late.signal.aborted ? unavailable(error) : translateDatabaseError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async function readToEnd(): Promise<void> {
    for (;;) {
      const page = await read(ring.head, grown.subscribers > 0 ? pageSize : 0);
      if (page.databaseId !== state.databaseId || page.head < ring.head || page.floor > ring.head) {
        // Another database, an older one or a log that was emptied meanwhile: nothing in memory holds any more.
        logger.warn(
          { from: ring.head.toString(), to: page.head.toString() },
          "the log was replaced; beginning anew",
        );
        ring = createEventRing(page.head, ringCapacity);
        state = toState(page);
        grown.wakeAll();
      } else if (page.events.length === 0 && page.head > ring.head) {
        // It was read for nobody. Whoever has come meanwhile finds in the table what the ring has missed.
        ring = createEventRing(page.head, ringCapacity);
        state = toState(page);
        grown.wakeAll();
      } else {
        ring.append(page.events);
        state = toState(page);
        // Not otherwise: each look, also one for a new stream, would cost as much as there are subscribers.
        if (page.events.length > 0) handOn(page.events);
      }
      if (ring.head >= page.head) {
        committed.forgetUpTo(ring.head);
        return;
      }
    }
  }

  function handOn(events: readonly LoggedEvent[]): void {
    const newest = events.at(-1);
    if (newest !== undefined) observer?.eventsRead(Date.now() - newest.occurredAt.getTime());
    handedOnAt = performance.now();
    grown.wakeAll();
  }

  /** Hands on what this process has committed; says whether there can be no more than that. */
  function takeCommitted(): boolean {
    // From time to time it is read all the same: only the table tells of the floor, and of a log that was replaced.
    if (unread || performance.now() >= readAt + pollIntervalMs) return false;
    const events = committed.takeAfter(state.databaseId, ring.head);
    if (events.length > 0) {
      ring.append(events);
      state = { ...state, head: ring.head };
      handOn(events);
    }
    return committed.isEmpty;
  }

  /** Whoever opens a stream does not wait. */
  async function keepSpacing(): Promise<void> {
    const spacingMs = Math.min(spacing.longestMs, grown.subscribers * spacing.perSubscriberMs);
    while (callers.length === 0 && !closing.signal.aborted) {
      const remainingMs = handedOnAt + spacingMs - performance.now();
      if (remainingMs <= 0) return;
      await called.next(remainingMs).catch(() => {});
    }
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      if (!wanted) {
        await called.next(pollIntervalMs).catch(() => {});
        unread ||= !wanted;
      }
      await keepSpacing();
      if (closing.signal.aborted) {
        break;
      }
      wanted = false;
      if (takeCommitted()) continue;
      unread = false;
      readAt = performance.now();
      const served = callers;
      callers = [];
      await readToEnd().then(
        () => {
          report(true);
          for (const caller of served) caller.resolve();
        },
        async (error) => {
          // A read that was dropped to close says nothing of the log.
          if (!closing.signal.aborted) report(false, error);
          unread = true;
          for (const caller of served) caller.reject(error);
          // A database that is away is asked again after the poll interval, not in a tight loop.
          await called.next(pollIntervalMs).catch(() => {});
        },
      );
    }
    for (const caller of callers) caller.reject(unavailable(closing.signal.reason));
  }

  function report(now: boolean, error?: unknown): void {
    if (now === healthy) {
      return;
    }
    healthy = now;
    logger[now ? "info" : "error"](
      { ...(error !== undefined && { err: error }) },
      now ? "the event log can be read again" : "the event log cannot be read",
    );
    for (const listener of healthListeners) {
      listener(now);
    }
  }

  function wake(): void {
    unread = true;
    wanted = true;
    work.wakeAll();
  }

  const running = run();
  return {
    get state() {
      return state;
    },
    get ring() {
      return ring;
    },
    get isHealthy() {
      return healthy;
    },
    grown,
    wake() {
      if (grown.subscribers > 0) wake();
    },
    offer(commit) {
      if (grown.subscribers === 0) return;
      committed.add(commit);
      wanted = true;
      work.wakeAll();
    },
    onHealthChange: (listener) => void healthListeners.push(listener),
    catchUp() {
      if (closing.signal.aborted) {
        return Promise.reject(unavailable(closing.signal.reason));
      }
      const caller = Promise.withResolvers<void>();
      callers.push(caller);
      wake();
      return caller.promise;
    },
    async close() {
      closing.abort();
      abortRead();
      await running;
    },
  };
}

function unavailable(cause: unknown): DatabaseUnavailableError {
  return new DatabaseUnavailableError({ cause });
}

/** Without the page's events, which would otherwise be kept for as long as the state. */
function toState({ databaseId, head, floor }: LogState): LogState {
  return { databaseId, head, floor };
}
