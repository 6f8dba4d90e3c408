import type { Interceptor } from "@connectrpc/connect";
import { wrapBursts } from "../../lane/bursts.ts";
import { withMessage } from "../../lane/messages.ts";
import { type ObservedCall, observedCall } from "../observed-call.ts";

/**
 * Knows when a handler works. The innermost interceptor: those before it answer calls whose handlers go on.
 *
 * What has ended before its handler begins, as a call whose request takes longer than its deadline, does not begin.
 */
export function createObservedWorkInterceptor(): Interceptor {
  return (next) => async (request) => {
    const call = request.contextValues.get(observedCall);
    request.signal.throwIfAborted();
    if (call === undefined) return next(request);
    call.beginWork();
    try {
      const response = await next(request);
      return response.stream
        ? withMessage(
            response,
            wrapBursts(response.message, (items) => observeWork(call, items)),
          )
        : response;
    } finally {
      call.endWork();
    }
  };
}

/** The handler of a stream works from when its first message is asked for until it has come to its end. */
function observeWork<T>(call: ObservedCall, items: AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      let isOpen = true;
      call.beginWork();
      const finish = (): void => {
        if (isOpen) call.endWork();
        isOpen = false;
      };
      return {
        async next() {
          try {
            const result = await iterator.next();
            if (result.done === true) finish();
            return result;
          } catch (error) {
            finish();
            throw error;
          }
        },
        async return(value) {
          try {
            return (await iterator.return?.(value)) ?? { done: true, value };
          } finally {
            finish();
          }
        },
      };
    },
  };
}
