/** Wakes everybody who waits; who does not wait now has to look before it waits. */
export interface Wake {
  /** Wakes all present waiters. */
  wakeAll(): void;
  /** How many have subscribed and not closed their subscription. */
  readonly subscribers: number;
  /** Begins to wait, now and then, until the signal aborts. */
  subscribe(signal: AbortSignal): WakeSubscription;
}

/** One who waits again and again. It costs one listener on its signal, however often it waits. */
export interface WakeSubscription {
  /**
   * Resolves at the next wake-up, at the latest after `timeoutMs`; rejects with the signal's reason when it
   * aborts. Whoever waits must have looked, without an await in between, or it misses what came before.
   */
  next(timeoutMs?: number): Promise<void>;
  /** Must be called in the end. */
  close(): void;
}

/** Creates a wake-up call that many can wait for. */
export function createWake(): Wake {
  let waiting = new Set<() => void>();
  let subscribers = 0;

  return {
    get subscribers() {
      return subscribers;
    },
    wakeAll() {
      const woken = waiting;
      waiting = new Set();
      for (const wake of woken) wake();
    },
    subscribe(signal) {
      let settle: ((reason?: { readonly aborted: unknown }) => void) | undefined;
      const wake = (): void => settle?.();
      const abort = (): void => settle?.({ aborted: signal.reason });
      signal.addEventListener("abort", abort);
      subscribers += 1;

      function next(timeoutMs?: number): Promise<void> {
        return new Promise((resolve, reject) => {
          if (signal.aborted) {
            reject(signal.reason);
            return;
          }
          const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
          waiting.add(wake);
          settle = (reason) => {
            settle = undefined;
            clearTimeout(timer);
            waiting.delete(wake);
            if (reason === undefined) resolve();
            else reject(reason.aborted);
          };
        });
      }
      return {
        next,
        close() {
          subscribers -= 1;
          signal.removeEventListener("abort", abort);
          settle?.();
        },
      };
    },
  };
}
