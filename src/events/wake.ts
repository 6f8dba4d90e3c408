/** Wakes everybody who waits; who does not wait now has to look before it waits. */
export interface Wake {
  /** Wakes all present waiters. */
  wakeAll(): void;
  /**
   * Resolves at the next wake-up, at the latest after `timeoutMs`; rejects with the signal's reason when it
   * aborts. Whoever waits must have looked, without an await in between, or it misses what came before.
   */
  next(options: { timeoutMs?: number | undefined; signal: AbortSignal }): Promise<void>;
}

/** Creates a wake-up call that many can wait for. */
export function createWake(): Wake {
  let waiting = new Set<() => void>();

  return {
    wakeAll() {
      const woken = waiting;
      waiting = new Set();
      for (const wake of woken) {
        wake();
      }
    },
    next: ({ timeoutMs, signal }) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
        waiting.add(wake);
        signal.addEventListener("abort", abort);

        function wake(): void {
          settle();
          resolve();
        }
        function abort(): void {
          settle();
          reject(signal.reason);
        }
        function settle(): void {
          clearTimeout(timer);
          waiting.delete(wake);
          signal.removeEventListener("abort", abort);
        }
      }),
  };
}
