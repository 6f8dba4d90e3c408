import type { Message } from "@bufbuild/protobuf";
import type { ConnectError, Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import { mapItems, wrapBursts } from "../../lane/bursts.ts";
import { withMessage } from "../../lane/messages.ts";
import { passThrough } from "../../lane/pass-through.ts";
import { callScope } from "../../platform/call-scope.ts";
import type { FailedCall, TranslateFailure } from "./failure-translation.ts";

/** Turns whatever a call fails with into a status. */
export function createErrorInterceptor(translate: TranslateFailure): Interceptor {
  return passThrough((next) => async (request) => {
    const { passed, message } = rememberMessage(request);
    const translateHere = (error: unknown) => translate(error, toFailedCall(request, message()));
    try {
      const response = await next(passed);
      return response.stream
        ? withMessage(
            response,
            wrapBursts(response.message, (items) => translateStream(items, translateHere)),
          )
        : response;
    } catch (error) {
      throw translateHere(error);
    }
  });
}

function toFailedCall(request: UnaryRequest | StreamRequest, message: Message | undefined): FailedCall {
  return {
    method: request.method,
    message,
    scope: request.contextValues.get(callScope),
    // Read where it is asked for: in the lane, it is made then.
    get caller() {
      return request.signal;
    },
  };
}

/** The same request, and what has been read of it: of a stream, the last message. */
function rememberMessage<Request extends UnaryRequest | StreamRequest>(
  request: Request,
): { passed: Request; message: () => Message | undefined } {
  if (!request.stream) {
    return { passed: request, message: () => request.message };
  }
  let last: Message | undefined;
  const remembered = mapItems(request.message, (message) => {
    last = message;
    return message;
  });
  return { passed: withMessage(request, remembered) as Request, message: () => last };
}

/**
 * A stream fails while it is read, long after the call that returned it. Not a generator: one can be left only when
 * its source gives the next item.
 */
function translateStream<T>(
  source: AsyncIterable<T>,
  translate: (error: unknown) => ConnectError,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            return await iterator.next();
          } catch (error) {
            throw translate(error);
          }
        },
        return: async (value) => (await iterator.return?.(value)) ?? { done: true, value },
      };
    },
  };
}
