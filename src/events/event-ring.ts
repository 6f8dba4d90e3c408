import type { LoggedEvent } from "./event.ts";

/** The newest stretch of the log in memory, shared by all subscribers. */
export interface EventRing {
  /** Revision of the newest event in it (or of the place it began at, while it is empty). */
  readonly head: bigint;
  /**
   * The first events behind a revision, oldest first; undefined where some are no longer in the ring. Whoever asks
   * for the same between two appends gets the very same array.
   */
  findAfter(revision: bigint, limit: number): readonly LoggedEvent[] | undefined;
  /** Adds the events that follow the head, dropping the oldest beyond the capacity. */
  append(events: readonly LoggedEvent[]): void;
}

/**
 * Creates a ring that begins behind a revision and keeps at least `capacity` and at most twice as many events.
 * Revisions are dense, so a revision is an index and nothing is searched.
 */
export function createEventRing(begin: bigint, capacity: number): EventRing {
  let events: LoggedEvent[] = [];
  let before = begin;
  let lastAsked: { index: number; limit: number; found: readonly LoggedEvent[] } | undefined;

  return {
    get head() {
      return before + BigInt(events.length);
    },
    findAfter(revision, limit) {
      const index = Number(revision - before);
      if (index < 0) return undefined;
      if (lastAsked?.index !== index || lastAsked.limit !== limit) {
        lastAsked = { index, limit, found: events.slice(index, index + limit) };
      }
      return lastAsked.found;
    },
    append(added) {
      lastAsked = undefined;
      for (const event of added) {
        if (event.revision !== before + BigInt(events.length) + 1n) {
          throw new Error(`the log has a hole before revision ${event.revision}`);
        }
        events.push(event);
      }
      if (events.length > 2 * capacity) {
        // Dropping half at a time moves each event once, where dropping one at a time would move all of them.
        before += BigInt(events.length - capacity);
        events = events.slice(-capacity);
      }
    },
  };
}
