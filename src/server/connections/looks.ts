/** How often connections are looked at within the shortest of their timers: each is late by at most this part of it. */
const looksPerTimeout = 4;

const minIntervalMs = 10;

/**
 * Timers for many, by one clock: all are looked at now and then, and a timer is over when so many looks have found
 * nothing. Looks, not time: a process that was busy for long has not given its peers the chance to be heard either.
 */
export interface Looks {
  readonly intervalMs: number;
  /** After how many looks a timer is over. The first comes at any time, and so is none of the timer's. */
  within(timeoutMs: number): number;
}

/** Creates the clock for some timers. */
export function createLooks(...timeoutsMs: readonly number[]): Looks {
  const intervalMs = Math.max(minIntervalMs, Math.min(...timeoutsMs) / looksPerTimeout);
  return { intervalMs, within: (timeoutMs) => Math.ceil(timeoutMs / intervalMs) + 1 };
}
