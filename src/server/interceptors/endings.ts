import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/**
 * Answers a call as soon as nobody waits for it any more, whether or not its handler notices: at its deadline
 * with DEADLINE_EXCEEDED, or when the caller is gone. Handlers take the same signal and drop their work.
 *
 * When the server shuts down, streams end with UNAVAILABLE; unary calls finish.
 */
export function createEndingsInterceptor(shutdown: AbortSignal): Interceptor {
  return (next) => async (request) => {
    if (!request.stream) {
      return untilAborted(next(request), request.signal);
    }
    const signal = AbortSignal.any([request.signal, shutdown]);
    const response = await untilAborted(next({ ...request, signal }), signal);
    return response.stream
      ? { ...response, message: streamUntilAborted(response.message, signal) }
      : response;
  };
}

/** The reason that a shutdown gives to the streams it ends. */
export function shutdownError(): ConnectError {
  return new ConnectError("the server is shutting down; resume from the last cursor", Code.Unavailable);
}

async function* streamUntilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await untilAborted(iterator.next(), signal);
      if (next.done === true) {
        return;
      }
      yield next.value;
    }
  } finally {
    // Not awaited: a source that is stuck in an await would hold the end of the stream up.
    void iterator.return?.().catch(() => {});
  }
}

/** The promise's outcome, or a rejection with the signal's reason, whichever is first. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) {
      promise.catch(() => {});
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
