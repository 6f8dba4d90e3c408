/** Whether this process wants requests. Every service of the process shares the one answer. */
export interface HealthStatus {
  /** The names with a status: the empty one, which stands for the whole server, and each service's. */
  readonly serviceNames: readonly string[];
  readonly isServing: boolean;
  /** How many calls of {@link HealthStatus.waitUntilNot} are waiting; one a watcher, so one that rises leaks. */
  readonly waiterCount: number;
  isKnown(serviceName: string): boolean;
  /** Wakes the watchers, unless it already was so. */
  set(isServing: boolean): void;
  /**
   * Resolves to the status once it is another than `last`, which is at once where it already is.
   *
   * Level-triggered: a change that happens while nobody waits is seen by the next call, and one that was taken
   * back in the meantime is not. Throws the signal's reason when it aborts first.
   */
  waitUntilNot(last: boolean, signal: AbortSignal): Promise<boolean>;
}

/** Creates the status of these services: not serving, until {@link HealthStatus.set} says otherwise. */
export function createHealthStatus(serviceNames: readonly string[]): HealthStatus {
  const known = new Set(["", ...serviceNames]);
  const waiters = new Set<() => void>();
  let isServing = false;

  function nextChange(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    waiters.add(resolve);
    signal.addEventListener("abort", onAbort);
    return promise.finally(() => {
      waiters.delete(resolve);
      signal.removeEventListener("abort", onAbort);
    });
  }

  return {
    serviceNames: [...known],
    get isServing() {
      return isServing;
    },
    get waiterCount() {
      return waiters.size;
    },
    isKnown: (serviceName) => known.has(serviceName),
    set(next) {
      if (next === isServing) return;
      isServing = next;
      for (const wake of waiters) wake();
    },
    async waitUntilNot(last, signal) {
      while (isServing === last) await nextChange(signal);
      return isServing;
    },
  };
}
