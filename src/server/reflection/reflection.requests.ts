/**
 * Passes requests on until they end, or throws the signal's reason as soon as it aborts.
 *
 * Reading a stream ends with the stream, not with the call: without this, a call whose client keeps it open but
 * sends nothing would outlive its deadline and the server's shutdown.
 */
export async function* untilAborted<T>(requests: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = requests[Symbol.asyncIterator]();
  for (;;) {
    const result = await unlessAborted(iterator.next(), signal);
    if (result.done === true) return;
    yield result.value;
  }
}

/** Not Promise.race with one long-lived promise: that one would keep a reaction for every request. */
function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    pending.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
