import { Shedding } from "./shedding.ts";

/** Whoever knows how busy the process is. */
export interface LoadWatch {
  /** How late the event loop is, in milliseconds. */
  readonly delayMs: number;
  /** The share of calls to refuse, 0 to 1. */
  readonly share: number;
  close(): void;
}

/** Often enough to see a delay grow, and seldom enough to cost nothing: 40 times a second at most is 0.1 % of a processor. */
const [leastIntervalMs, greatestIntervalMs] = [5, 25];

/** How many times a delay that is just tolerable could have been seen while it lasts. */
const looks = 20;

/**
 * Watches how late timers are: nothing is measured a call. A timer of one's own knows at once what
 * `monitorEventLoopDelay` tells only to whoever asks its histogram from a timer.
 */
export function openLoadWatch(maxDelayMs: number): LoadWatch {
  const shedding = new Shedding(maxDelayMs);
  const intervalMs = Math.min(Math.max(maxDelayMs / looks, leastIntervalMs), greatestIntervalMs);
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const elapsedMs = nowMs - lastMs;
    lastMs = nowMs;
    shedding.record(Math.max(elapsedMs - intervalMs, 0), elapsedMs);
  }, intervalMs);
  timer.unref();
  return {
    get delayMs() {
      return shedding.delayMs;
    },
    get share() {
      return shedding.share;
    },
    close: () => clearInterval(timer),
  };
}

/** What nobody watches is never busy. */
export const noLoadWatch: LoadWatch = { delayMs: 0, share: 0, close() {} };
