import { AsyncLocalStorage } from "node:async_hooks";
import type { CallerState } from "./batcher.ts";
import type { TraceSpan } from "./trace-span.ts";

/** For whom something is being done. */
export interface Work {
  /** When it aborts, nobody waits for the work any more. */
  readonly caller: CallerState;
  /** The spans that wait for it: the first is its parent, the others are linked. */
  readonly spans: readonly TraceSpan[];
  /** Whether it is not, or not only, a call's: then it is not refused for the many calls that wait. */
  readonly inBackground?: boolean;
}

const current = new AsyncLocalStorage<Work | undefined>();

/** For whom the code that asks is running; undefined: for nobody in particular, as work in the background is. */
export function currentWork(): Work | undefined {
  return current.getStore();
}

/** Runs something, and whatever it begins, for somebody. */
export function runFor<Result>(work: Work, run: () => Result): Result {
  return current.run(work, run);
}

/**
 * Runs something for nobody in particular. Whatever several callers share, and whatever goes on when its first caller
 * has left, must be begun so, or it would end with that caller.
 */
export function runDetached<Result>(run: () => Result): Result {
  return current.run(undefined, run);
}
