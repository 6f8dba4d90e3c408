import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { type BackOff, chooseDelayMs, pause } from "./back-off.ts";
import { toCallError } from "./connection-failure.ts";
import { toRepeatable } from "./idempotency-key.ts";

/** What holds for each call that says nothing else. */
export interface CallPolicy {
  /** How long a unary call may take, all attempts together; 0 means no limit. */
  readonly timeoutMs: number;
  /** The waits between attempts; undefined means one attempt. */
  readonly retry: BackOff | undefined;
}

/**
 * Gives every unary call a deadline, and repeats it while the server is UNAVAILABLE and the deadline allows. A write may
 * have happened although its answer was lost, so each gets an `idempotency-key`, the same in all attempts, unless
 * the caller has given one: the server promises that it happens once, and answers each attempt as it did the first.
 *
 * Nothing else is repeated, a refused credential (UNAUTHENTICATED, PERMISSION_DENIED) least of all. Streams pass
 * through: they last until they are left.
 */
export function applyCallPolicy(transport: Transport, policy: CallPolicy): Transport {
  return {
    stream: (...call) => transport.stream(...call),
    async unary(method, signal, timeoutMs = policy.timeoutMs, header, input, contextValues) {
      const endsAt = timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
      const { retry } = policy;
      const headers = retry === undefined ? header : toRepeatable(method, header);
      for (let failures = 0; ; failures++) {
        try {
          const remainingMs = toTimeout(endsAt);
          return await transport.unary(method, signal, remainingMs, headers, input, contextValues);
        } catch (failure) {
          const error = toCallError(failure, signal);
          if (retry === undefined || error.code !== Code.Unavailable) throw error;
          const delayMs = chooseDelayMs(retry, failures);
          // What the server said tells more than that the time is up.
          if (performance.now() + delayMs >= endsAt) throw error;
          await pause(delayMs, signal);
          if (signal?.aborted === true) throw ConnectError.from(signal.reason, Code.Canceled);
        }
      }
    },
  };
}

/** Whole milliseconds, as the protocols' headers have them; 0 overrides a transport's own default. */
function toTimeout(endsAt: number): number {
  return Number.isFinite(endsAt) ? Math.max(1, Math.ceil(endsAt - performance.now())) : 0;
}
