import type { Logger } from "../../platform/logger.ts";

/** Counts spans that nobody will see, and warns of them. */
export interface SpanLosses {
  add(count: number, reason: Error | string): void;
  /** Warns of those that it has not warned of. */
  report(): void;
}

const warningIntervalMs = 60_000;

/** Warns of the first at once, and once a minute of how many there were since. */
export function createSpanLosses(logger: Logger): SpanLosses {
  let spans = 0;
  let reason: Error | string = "";
  let warnedAt = Number.NEGATIVE_INFINITY;

  function report(): void {
    if (spans === 0) return;
    logger.warn(
      { spans, ...(typeof reason === "string" ? { reason } : { err: reason }) },
      "spans of traces are lost",
    );
    spans = 0;
    warnedAt = performance.now();
  }

  return {
    report,
    add(count, why) {
      spans += count;
      reason = why;
      if (performance.now() - warnedAt >= warningIntervalMs) report();
    },
  };
}
