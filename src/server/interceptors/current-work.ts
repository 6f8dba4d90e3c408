import type { Interceptor } from "@connectrpc/connect";
import { wrapBursts } from "../../lane/bursts.ts";
import { type WaitingCaller, whoWaitsFor } from "../../lane/caller.ts";
import { type AnyResponse, withMessage } from "../../lane/messages.ts";
import { passThrough } from "../../lane/pass-through.ts";
import { callScope } from "../../platform/call-scope.ts";
import { runFor, type Work } from "../../platform/current-work.ts";
import type { TraceSpan } from "../../platform/trace-span.ts";

interface CallWork extends Work {
  readonly caller: WaitingCaller;
}

const noSpans: readonly TraceSpan[] = [];

/**
 * Says for whom a handler works, so that the database can drop what nobody waits for any more, and knows whose span a
 * query belongs to. The innermost one: what stands before the handlers is shared by many callers.
 */
export function createCurrentWorkInterceptor(): Interceptor {
  return passThrough((next) => (request) => {
    const { span } = request.contextValues.get(callScope);
    const work: CallWork = { caller: whoWaitsFor(request), spans: span === undefined ? noSpans : [span] };
    const response = runFor(work, () => next(request));
    // In the lane, a call of one message is told apart by itself.
    if (!request.stream && work.caller.served === undefined) return response;
    return response.then((answer) => followAnswer(work, answer));
  });
}

function followAnswer(work: CallWork, answer: AnyResponse): AnyResponse {
  if (!answer.stream) {
    work.caller.served?.();
    return answer;
  }
  return withMessage(
    answer,
    wrapBursts(answer.message, (items) => pullFor(work, items)),
  );
}

/** A stream's handler runs when its next message is asked for. */
function pullFor<T>(work: CallWork, items: AsyncIterable<T>): AsyncIterable<T> {
  const { caller } = work;
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      const pull = () => runFor(work, () => iterator.next());
      const pullAndTell = async () => {
        const result = await pull();
        if (result.done === true) caller.served?.();
        return result;
      };
      return {
        next: caller.served === undefined ? pull : pullAndTell,
        return: async (value) => (await iterator.return?.(value)) ?? { done: true, value },
      };
    },
  };
}
