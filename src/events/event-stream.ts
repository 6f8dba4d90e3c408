import type { Database } from "../schema.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import {
  CursorAheadError,
  CursorCompactedError,
  ForeignCursorError,
  InvalidCursorError,
} from "./event.errors.ts";
import { type LogState, readEventsAfter } from "./event.repository.ts";
import { type EventFilter, type LoggedEvent, matches } from "./event.ts";
import type { EventTailer } from "./event-tailer.ts";
import type { LogObserver } from "./log-observer.ts";

/** Where a stream begins: with the next event, with the oldest one retained, or behind a cursor. */
export type StreamStart = "now" | "earliest" | { readonly cursor: string };

/** What a stream is asked for. */
export interface StreamRequest {
  readonly start: StreamStart;
  readonly filter: EventFilter;
  /** Longest time without an item before a progress item is sent; undefined means no progress items. */
  readonly progressIntervalMs?: number | undefined;
}

/** Events, or the news that every matching event up to a revision has been delivered. */
export type StreamItem =
  | { readonly kind: "events"; readonly events: readonly LoggedEvent[]; readonly databaseId: string }
  | { readonly kind: "progress"; readonly revision: bigint; readonly databaseId: string };

/** What a stream can be told; tests make its pages small. */
export interface StreamOptions {
  readonly pageSize?: number | undefined;
  readonly observer?: Pick<LogObserver, "ringAsked" | "eventsDelivered"> | undefined;
}

/** How many events a stream that is behind reads at once. It holds one page in memory, never more. */
const defaultPageSize = 500;

/**
 * Streams the log: ordered by revision, each event once, without a gap, until the signal aborts.
 *
 * A stream near the log's end reads the tailer's ring; one further back reads pages of its own until it has
 * caught up. Events come as they are found, several at a time. Between two items nothing is buffered for it: it
 * goes on when its consumer asks for more.
 *
 * @throws InvalidCursorError, ForeignCursorError, CursorAheadError, CursorCompactedError (also in mid-stream,
 * where retention overtakes a slow reader), DatabaseUnavailableError while it is behind the ring
 * @throws the signal's reason when it aborts
 */
export async function* streamEvents(
  database: Database,
  tailer: EventTailer,
  request: StreamRequest,
  signal: AbortSignal,
  { pageSize = defaultPageSize, observer }: StreamOptions = {},
): AsyncGenerator<StreamItem, never> {
  // First of all: while nobody has subscribed, the tailer leaves out what it is told of.
  const grown = tailer.grown.subscribe(signal);
  try {
    await tailer.catchUp();
    signal.throwIfAborted();
    const { databaseId } = tailer.state;
    let position = findStart(request.start, tailer.state);
    const progress = createProgressTimer(request.progressIntervalMs);
    for (;;) {
      assertInside(position, databaseId, tailer.state);
      if (progress.isDue()) {
        progress.restart();
        yield { kind: "progress", revision: position, databaseId };
      }
      const recent = tailer.ring.findAfter(position, pageSize);
      if (recent?.length === 0) {
        await grown.next(progress.remainingMs());
        continue;
      }
      observer?.ringAsked(recent !== undefined);
      const page =
        recent === undefined
          ? await readEventsAfter(database, position, request.filter, pageSize, signal)
          : { ...tailer.state, events: recent, upTo: position + BigInt(recent.length) };
      // State and events are of one snapshot: had retention passed us by, the page would have a gap.
      assertInside(position, databaseId, page);
      const events = selectMatching(request.filter, page.events);
      if (events.length > 0) {
        progress.restart();
        observer?.eventsDelivered(events.length);
        yield { kind: "events", events, databaseId };
        signal.throwIfAborted();
      }
      position = page.upTo;
      if (position > tailer.state.head) {
        // The page was of a later moment than the tailer's last read: that is no log that has lost its end.
        await tailer.catchUp();
      }
    }
  } finally {
    grown.close();
  }
}

/** The very array, where all of it matches: what is made of it for one stream serves all that get it. */
function selectMatching(filter: EventFilter, events: readonly LoggedEvent[]): readonly LoggedEvent[] {
  return filter.types.size === 0 && filter.userIds.size === 0
    ? events
    : events.filter((event) => matches(filter, event));
}

function findStart(start: StreamStart, state: LogState): bigint {
  if (start === "now") {
    return state.head;
  }
  if (start === "earliest") {
    return state.floor;
  }
  const cursor = decodeCursor(start.cursor);
  if (cursor === undefined) {
    throw new InvalidCursorError();
  }
  assertInside(cursor.revision, cursor.databaseId, state);
  return cursor.revision;
}

function assertInside(position: bigint, databaseId: string, state: LogState): void {
  if (databaseId !== state.databaseId) {
    throw new ForeignCursorError();
  }
  if (position > state.head) {
    throw new CursorAheadError();
  }
  if (position < state.floor) {
    throw new CursorCompactedError(encodeCursor({ databaseId, revision: state.floor }));
  }
}

interface ProgressTimer {
  isDue(): boolean;
  remainingMs(): number | undefined;
  restart(): void;
}

/** Due at once, so that a caller has a cursor before the first event; then after each silent interval. */
function createProgressTimer(intervalMs: number | undefined): ProgressTimer {
  let dueAt = intervalMs === undefined ? Number.POSITIVE_INFINITY : 0;
  return {
    isDue: () => performance.now() >= dueAt,
    remainingMs: () => (intervalMs === undefined ? undefined : Math.max(1, dueAt - performance.now())),
    restart: () => {
      if (intervalMs !== undefined) {
        dueAt = performance.now() + intervalMs;
      }
    },
  };
}
