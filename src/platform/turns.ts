import { CallerLeftError } from "./caller-left.ts";
import type { CallerWatch, WatchedForCaller } from "./caller-watch.ts";
import type { Work } from "./current-work.ts";
import { DatabaseBusyError, DatabaseUnavailableError } from "./errors.ts";

/** The bounds of the turns. */
export interface TurnBounds {
  /** How many have a turn at once. */
  readonly turns: number;
  /** How many callers wait for one at most; undefined: as many as come. */
  readonly maxWaiting?: number | undefined;
  /** How long anybody waits at most; undefined: as long as it takes. */
  readonly maxWaitMs?: number | undefined;
}

/** Turns at something that few can have at once. Who waits is served in order, and gives its place up when it leaves. */
export class Turns {
  readonly #watch: CallerWatch;
  readonly #bounds: TurnBounds;
  /** In order. */
  readonly #waiting = new Set<Waiter>();
  #free: number;

  constructor(bounds: TurnBounds, watch: CallerWatch) {
    this.#bounds = bounds;
    this.#watch = watch;
    this.#free = bounds.turns;
  }

  get free(): number {
    return this.#free;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Takes a turn, which must be given back: at once where one is free (undefined), else when it comes. Work in the
   * background is never refused for those who wait already.
   *
   * @throws CallerLeftError; DatabaseBusyError where too many wait; DatabaseUnavailableError, in the background, where
   * none has come in time
   */
  take(work: Work | undefined): undefined | Promise<void> {
    if (work?.caller.aborted) throw new CallerLeftError();
    if (this.#free > 0) {
      this.#free -= 1;
      return undefined;
    }
    const { maxWaiting = Number.POSITIVE_INFINITY, maxWaitMs } = this.#bounds;
    const isInBackground = work === undefined || work.inBackground === true;
    if (!isInBackground && this.#waiting.size >= maxWaiting) throw new DatabaseBusyError();
    return new Promise((resolve, reject) => {
      const waiter = new Waiter(work?.caller, resolve, reject, (error) => this.#leave(waiter, error));
      this.#waiting.add(waiter);
      if (waiter.caller !== undefined) {
        this.#watch.add(waiter);
        this.#watch.wake();
      }
      if (maxWaitMs !== undefined) {
        waiter.timer = setTimeout(() => {
          this.#leave(waiter, isInBackground ? new DatabaseUnavailableError() : new DatabaseBusyError());
        }, maxWaitMs).unref();
      }
    });
  }

  /** Gives a turn back, and so to whoever waits for it first. */
  giveBack(): void {
    for (const waiter of this.#waiting) {
      if (waiter.caller?.aborted) {
        this.#leave(waiter, new CallerLeftError());
      } else {
        this.#forget(waiter);
        waiter.resolve();
        return;
      }
    }
    this.#free += 1;
  }

  #leave(waiter: Waiter, error: Error): void {
    this.#forget(waiter);
    waiter.reject(error);
  }

  #forget(waiter: Waiter): void {
    this.#waiting.delete(waiter);
    this.#watch.delete(waiter);
    clearTimeout(waiter.timer);
  }
}

class Waiter implements WatchedForCaller {
  readonly caller: Work["caller"] | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  timer: NodeJS.Timeout | undefined;
  readonly #leave: (error: Error) => void;

  constructor(
    caller: Work["caller"] | undefined,
    resolve: () => void,
    reject: (error: Error) => void,
    leave: (error: Error) => void,
  ) {
    this.caller = caller;
    this.resolve = resolve;
    this.reject = reject;
    this.#leave = leave;
  }

  onLeft(): void {
    this.#leave(new CallerLeftError());
  }
}
