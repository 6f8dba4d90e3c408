import pLimit from "p-limit";
import { PasswordsBusyError } from "./password.errors.ts";

/** Lets work be done in turn: so much at once, so much waiting, and no more. */
export interface PasswordQueue {
  /**
   * Runs the work when its turn has come, unless its caller has left by then.
   *
   * @throws PasswordsBusyError at once where too many wait; the signal's reason; what the work throws
   */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  readonly load: QueueLoad;
}

/** How full a queue is. */
export interface QueueLoad {
  readonly running: number;
  readonly waiting: number;
  readonly maxWaiting: number;
}

/** What a queue is told. */
export interface QueueLimits {
  /** Pieces of work at once. */
  readonly maxConcurrency: number;
  /** Pieces of work that may wait for their turn. */
  readonly maxWaiting: number;
}

/** What a piece is taken to last before one has been seen. */
const assumedMs = 50;

/** How much of the average the last piece is. */
const weightOfLast = 0.1;

/** Creates an empty queue. */
export function createPasswordQueue({ maxConcurrency, maxWaiting }: QueueLimits): PasswordQueue {
  const limit = pLimit(maxConcurrency);
  let admitted = 0;
  let averageMs = assumedMs;

  async function measure<T>(work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      averageMs += (performance.now() - startedAt - averageMs) * weightOfLast;
    }
  }

  return {
    load: {
      get running() {
        return limit.activeCount;
      },
      get waiting() {
        return Math.max(0, admitted - limit.activeCount);
      },
      maxWaiting,
    },
    async run(work, signal) {
      signal?.throwIfAborted();
      if (admitted >= maxConcurrency + maxWaiting) {
        // By then half of those who wait now have had their turn.
        throw new PasswordsBusyError(Math.ceil((averageMs * (1 + maxWaiting / 2)) / maxConcurrency));
      }
      admitted += 1;
      const place = Promise.withResolvers<never>();
      let isCounted = true;
      const leave = (): void => {
        if (isCounted) admitted -= 1;
        isCounted = false;
      };
      // Who has left keeps no place from those who have not, and learns of it at once.
      const quit = (): void => {
        leave();
        place.reject(signal?.reason);
      };
      signal?.addEventListener("abort", quit);
      try {
        const turn = limit(async () => {
          signal?.removeEventListener("abort", quit);
          signal?.throwIfAborted();
          return measure(work);
        });
        return await Promise.race([turn, place.promise]);
      } finally {
        signal?.removeEventListener("abort", quit);
        leave();
      }
    },
  };
}
