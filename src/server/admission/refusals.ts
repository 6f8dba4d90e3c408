import { withoutStack } from "../../platform/without-stack.ts";
import {
  OverloadedError,
  type OverloadReason,
  RateLimitedError,
  ShuttingDownError,
} from "./admission.errors.ts";

/** Why calls are refused. */
export type RefusalReason = OverloadReason | "RATE_LIMITED" | "SHUTTING_DOWN";

/** How many calls have been refused so far, by reason. */
export type RefusalCounts = Readonly<Record<RefusalReason, number>>;

/** Whose bound it is that a call has met: everybody's, or its caller's own. */
export type BoundScope = "process" | "caller";

/** When it is worth trying again, in milliseconds: as long as what stands in the way may last. */
const retryDelays = {
  CALLS_EXHAUSTED: 500,
  STREAMS_EXHAUSTED: 5_000,
  SERVER_OVERLOADED: 1_000,
  SHUTTING_DOWN: 1_000,
} as const;

/** What is known exactly is spread by less. */
const rateSpread = 0.25;

/** The settings that bound calls and streams, as errors name them. */
const limits = {
  CALLS_EXHAUSTED: { process: "MAX_CONCURRENT_CALLS", caller: "MAX_CONCURRENT_CALLS_PER_CALLER" },
  STREAMS_EXHAUSTED: { process: "MAX_STREAMS", caller: "MAX_STREAMS_PER_CALLER" },
} as const;

/** Makes what calls are refused with, and counts it. */
export class Refusals {
  /** So far. */
  readonly counts: Record<RefusalReason, number> = {
    CALLS_EXHAUSTED: 0,
    STREAMS_EXHAUSTED: 0,
    SERVER_OVERLOADED: 0,
    RATE_LIMITED: 0,
    SHUTTING_DOWN: 0,
  };

  exhausted(reason: keyof typeof limits, scope: BoundScope): OverloadedError {
    this.counts[reason] += 1;
    const met = { limit: limits[reason][scope], scope };
    return withoutStack(() => new OverloadedError(reason, met, spread(retryDelays[reason])));
  }

  overloaded(): OverloadedError {
    this.counts.SERVER_OVERLOADED += 1;
    const met = { limit: "MAX_EVENT_LOOP_DELAY", scope: "process" } as const;
    const delayMs = spread(retryDelays.SERVER_OVERLOADED);
    return withoutStack(() => new OverloadedError("SERVER_OVERLOADED", met, delayMs));
  }

  /** @param waitMs how long it takes until another call may begin */
  rateLimited(scope: "principal" | "address", waitMs: number): RateLimitedError {
    this.counts.RATE_LIMITED += 1;
    const limit = scope === "principal" ? "RATE_LIMIT_PER_PRINCIPAL" : "RATE_LIMIT_PER_ADDRESS";
    return withoutStack(() => new RateLimitedError({ limit, scope }, spread(waitMs, rateSpread)));
  }

  shuttingDown(): ShuttingDownError {
    this.counts.SHUTTING_DOWN += 1;
    return withoutStack(() => new ShuttingDownError(spread(retryDelays.SHUTTING_DOWN)));
  }
}

/** So much longer at most, so that those who are refused together do not come back together. */
function spread(delayMs: number, share = 1): number {
  return Math.ceil(delayMs * (1 + share * Math.random()));
}
