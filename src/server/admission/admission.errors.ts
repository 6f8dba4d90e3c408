import { DomainError } from "../../platform/errors.ts";

/** Which bound a call has met. */
export interface MetLimit {
  /** The setting that names it, e.g. `MAX_CONCURRENT_CALLS`. */
  readonly limit: string;
  /** Whose it is. */
  readonly scope: "process" | "caller" | "principal" | "address";
}

/** Why the process has no room for a call. */
export type OverloadReason = "CALLS_EXHAUSTED" | "STREAMS_EXHAUSTED" | "SERVER_OVERLOADED";

const texts: Readonly<Record<OverloadReason, Readonly<Record<"process" | "caller", string>>>> = {
  CALLS_EXHAUSTED: {
    process: "the server has all the calls that it can take; try again after the delay",
    caller: "you have too many calls running; wait for some of them to end, and try again after the delay",
  },
  STREAMS_EXHAUSTED: {
    process: "the server has all the streams that it can take; try again after the delay",
    caller: "you have too many streams open; end some, or try again after the delay",
  },
  SERVER_OVERLOADED: {
    process: "the server is busy; try again after the delay",
    caller: "the server is busy; try again after the delay",
  },
};

/** There is no room for the call now. */
export class OverloadedError extends DomainError {
  override readonly name = "OverloadedError";
  readonly kind = "resource_exhausted";
  readonly reason: OverloadReason;
  override readonly metadata: Readonly<Record<string, string>>;
  override readonly retryAfterMs: number;

  constructor(reason: OverloadReason, met: MetLimit & { scope: "process" | "caller" }, retryAfterMs: number) {
    super(texts[reason][met.scope]);
    this.reason = reason;
    this.metadata = describeLimit(met, retryAfterMs);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Calls have been begun too often for now. */
export class RateLimitedError extends DomainError {
  override readonly name = "RateLimitedError";
  readonly kind = "resource_exhausted";
  readonly reason = "RATE_LIMITED";
  override readonly metadata: Readonly<Record<string, string>>;
  override readonly retryAfterMs: number;

  constructor(met: MetLimit & { scope: "principal" | "address" }, retryAfterMs: number) {
    super(
      met.scope === "principal"
        ? "you call too often; try again after the delay, and call less often"
        : "too many calls come from your address; try again after the delay, and call less often",
    );
    this.metadata = describeLimit(met, retryAfterMs);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The process is about to end, and would end the call along with itself. */
export class ShuttingDownError extends DomainError {
  override readonly name = "ShuttingDownError";
  readonly kind = "unavailable";
  readonly reason = "SHUTTING_DOWN";
  override readonly metadata: Readonly<Record<string, string>>;
  override readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super("the server is shutting down; connect anew and try again after the delay");
    this.metadata = retryAfterField(retryAfterMs);
    this.retryAfterMs = retryAfterMs;
  }
}

function describeLimit({ limit, scope }: MetLimit, retryAfterMs: number): Readonly<Record<string, string>> {
  return { limit, limit_scope: scope, ...retryAfterField(retryAfterMs) };
}

/** For clients that read no details: whole seconds (RFC 9110, section 10.2.3). */
function retryAfterField(retryAfterMs: number): { readonly "retry-after": string } {
  return { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) };
}
