/** Bounds of the waits between attempts, in milliseconds. */
export interface BackOff {
  /** The first wait is a random time up to this; the bound doubles with each failure. */
  readonly firstMs: number;
  /** No wait is longer. */
  readonly longestMs: number;
}

/**
 * How long to wait after so many failures before this one: "full jitter" (Brooker, "Exponential Backoff And
 * Jitter", AWS, 2015), any time up to a bound that doubles, so that clients that lost the same server do not
 * return together.
 */
export function chooseDelayMs({ firstMs, longestMs }: BackOff, failures: number): number {
  return Math.random() * Math.min(longestMs, firstMs * 2 ** failures);
}

/** Waits; ends early, without an error, when the signal aborts. */
export function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    const timer = setTimeout(end, delayMs);
    signal?.addEventListener("abort", end);
    if (signal?.aborted === true) end();
  });
}
