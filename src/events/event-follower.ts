import { setTimeout as delay } from "node:timers/promises";
import type { LoggedEvent } from "./event.ts";
import type { EventTailer } from "./event-tailer.ts";

/** Somebody in this process who wants to know of every event as soon as the process does. Must not throw. */
export interface EventListener {
  /** From now on no event will be missed. Called again where some may have been: what was known may be wrong. */
  begin(): void;
  /** Events in order, each once. */
  hear(events: readonly LoggedEvent[]): void;
  /** Everything that was committed before this time (of `performance.now()`) has been heard. */
  confirm(readAtMs: number): void;
}

/** How a follower follows. */
export interface FollowOptions {
  /** The log is read at least this often. */
  readonly intervalMs: number;
}

/** Like the streams': those who ask the ring for the same share the answer. */
const pageSize = 500;

/** Between two tries where the log cannot be read. */
const retryMs = 250;

/**
 * Tells a listener of what happens, until the signal aborts. It follows the tailer's ring and holds nothing itself.
 * While the log cannot be read, nothing is heard and nothing confirmed.
 */
export async function followLog(
  tailer: EventTailer,
  listener: EventListener,
  signal: AbortSignal,
  { intervalMs }: FollowOptions,
): Promise<void> {
  const ending = new AbortController();
  const ended = AbortSignal.any([signal, ending.signal]);
  const grown = tailer.grown.subscribe(ended);
  let ring: EventTailer["ring"] | undefined;
  let position = 0n;

  function handOn(): void {
    // A ring begun anew is of another log, or begins behind events that nobody has read.
    if (ring !== tailer.ring) {
      ring = tailer.ring;
      position = ring.head;
      listener.begin();
      return;
    }
    while (position < ring.head) {
      const events = ring.findAfter(position, pageSize);
      if (events === undefined) {
        position = ring.head;
        listener.begin();
        return;
      }
      listener.hear(events);
      position += BigInt(events.length);
    }
  }

  /** Beside the reads that are asked for: an event that is in the ring is told at once, whatever they wait for. */
  async function handOnAll(): Promise<never> {
    for (;;) {
      handOn();
      await grown.next();
    }
  }

  async function confirmRegularly(): Promise<never> {
    for (;;) {
      const startedAt = performance.now();
      const isRead = await tailer.catchUp().then(
        () => true,
        () => false,
      );
      ended.throwIfAborted();
      if (isRead) {
        handOn();
        listener.confirm(startedAt);
      }
      const restMs = isRead ? startedAt + intervalMs - performance.now() : retryMs;
      await delay(Math.max(0, restMs), undefined, { signal: ended, ref: false });
    }
  }

  try {
    await Promise.all([handOnAll(), confirmRegularly()]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    ending.abort();
    grown.close();
  }
}
