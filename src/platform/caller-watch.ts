import type { CallerState } from "./batcher.ts";
import { runDetached } from "./current-work.ts";

/** What is done, or waits, for callers. */
export interface WatchedForCaller {
  /** For whom, at the moment; undefined: for nobody who could leave. */
  readonly caller: CallerState | undefined;
  /** The caller has left. Called at each look for as long as that is so; must not throw. */
  onLeft(): void;
}

/** How soon it is noticed that a caller has left. */
const intervalMs = 50;

/**
 * Notices that callers have left. They are asked, all of them, by one timer, which runs only while there is somebody to
 * ask: to listen to each one's signal would cost a short call more than all the rest of its query.
 */
export class CallerWatch {
  readonly #watched = new Set<WatchedForCaller>();
  #timer: NodeJS.Timeout | undefined;

  add(watched: WatchedForCaller): void {
    this.#watched.add(watched);
  }

  delete(watched: WatchedForCaller): void {
    this.#watched.delete(watched);
  }

  /** To be called when something that is watched has got a caller. */
  wake(): void {
    this.#timer ??= runDetached(() => setInterval(lookAt, intervalMs, this)).unref();
  }

  look(): void {
    let hasCallers = false;
    for (const watched of this.#watched) {
      const { caller } = watched;
      if (caller === undefined) continue;
      hasCallers = true;
      if (caller.aborted) watched.onLeft();
    }
    if (!hasCallers) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

function lookAt(watch: CallerWatch): void {
  watch.look();
}
