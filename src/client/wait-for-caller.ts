import { Code, ConnectError } from "@connectrpc/connect";
import { pause } from "./back-off.ts";

/** What Node's timers can count. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * The promise's outcome, unless the caller's signal aborts or its time is over before that: then the call's error,
 * while whatever the promise is about goes on.
 */
export async function waitForCaller<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  remainingMs: number,
): Promise<T> {
  const settled = new AbortController();
  const either = signal === undefined ? settled.signal : AbortSignal.any([signal, settled.signal]);
  const leaving = pause(Math.min(remainingMs, maxTimerMs), either).then((): never => {
    if (signal?.aborted === true) throw ConnectError.from(signal.reason, Code.Canceled);
    throw new ConnectError("the time is over", Code.DeadlineExceeded);
  });
  try {
    return await Promise.race([promise, leaving]);
  } finally {
    settled.abort();
  }
}
