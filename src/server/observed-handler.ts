import type { HandlerContext } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { CallObserver } from "../lane/ended-call.ts";
import type { Gate } from "./call-life.ts";
import { ObservedCall, observedCall } from "./observed-call.ts";
import { wrapHandler } from "./wrapped-handler.ts";

/** Observes the calls of a handler. The outermost wrapper: it counts what comes and goes as the wire has it. */
export function observeHandler(observer: CallObserver): (handler: UniversalHandler) => UniversalHandler {
  return (handler) =>
    wrapHandler(handler, async (request) => {
      const { contextValues, signal, httpVersion } = request;
      if (contextValues === undefined) return handler(request);
      const call = new ObservedCall({
        method: handler.method,
        contextValues,
        exchangeSignal: signal,
        httpVersion,
        observer,
      });
      contextValues.set(observedCall, call);
      try {
        const response = await handler({ ...request, body: countRequest(call, request.body) });
        return response.body === undefined
          ? response
          : { ...response, body: countResponse(call, response.body) };
      } catch (error) {
        call.leave(error);
        throw error;
      }
    });
}

/**
 * A request gate that asks another, and lets no call through that nobody waits for any more when it has the answer:
 * nothing works for a call once it has been released.
 */
export function observeGate(gate: Gate): (context: HandlerContext) => Promise<void> {
  return async (context) => {
    const verdict = gate(context.method, context.values);
    // Not before: a call leaves, if it has left already, behind where it arrives.
    context.values.get(observedCall)?.begin(context);
    const refusal = verdict instanceof Promise ? await before(context.signal, verdict) : verdict;
    if (refusal !== undefined) throw refusal;
    context.signal.throwIfAborted();
  };
}

/** What is promised, or the signal's reason where it aborts first: a call may wait at its gate for longer than it has. */
function before<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function countRequest(call: ObservedCall, body: UniversalServerRequest["body"]): typeof body {
  if (typeof body !== "object" || body === null || !(Symbol.asyncIterator in body)) return body;
  return passChunks(body as AsyncIterable<Uint8Array>, {
    passed: (bytes) => {
      call.receivedBytes += bytes;
    },
    left: () => {},
  });
}

function countResponse(call: ObservedCall, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return passChunks(body, {
    passed: (bytes) => {
      call.sentBytes += bytes;
    },
    left: (reason) => call.leave(reason),
  });
}

interface ChunkWatch {
  passed(bytes: number): void;
  /** Before its end, for a reason, if it is known. */
  left(reason: unknown): void;
}

/** The same chunks, counted. What is said to their reader is said to their source, too. */
function passChunks(chunks: AsyncIterable<Uint8Array>, watch: ChunkWatch): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = chunks[Symbol.asyncIterator]();
      let isDone = false;
      return {
        async next() {
          const result = await iterator.next();
          if (result.done === true) isDone = true;
          else watch.passed(result.value.length);
          return result;
        },
        async return(value) {
          if (!isDone) watch.left(undefined);
          return (await iterator.return?.(value)) ?? { done: true, value };
        },
        async throw(error) {
          watch.left(error);
          if (iterator.throw === undefined) throw error;
          return iterator.throw(error);
        },
      };
    },
  };
}
