import { create, isMessage, type Message } from "@bufbuild/protobuf";
import type { Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import { mapBursts } from "./bursts.ts";
import type { Call } from "./call.ts";
import { type AnyResponse, createRequest, createResponse, hasOwnMetadata, LaneContext } from "./messages.ts";
import { allPassThrough } from "./pass-through.ts";
import { countError } from "./read-request.ts";
import type { StreamRoute, UnaryRoute } from "./routes.ts";

type Next = ReturnType<Interceptor>;

/** Calls an implementation through the interceptors. */
export interface Invoker {
  /** @returns the response message */
  unary(call: Call, route: UnaryRoute, message: Message): Promise<Message>;
  /** @returns the response messages, and what must be called behind the last: a handler sets trailers up to then */
  stream(
    call: Call,
    route: StreamRoute,
    message: Message,
  ): Promise<{ messages: AsyncIterable<Message>; takeTrailer: () => void }>;
}

/** Creates an invoker. Interceptors are applied anew for each call, as connect-es does. */
export function createInvoker(interceptors: readonly Interceptor[]): Invoker {
  const outermostLast = [...interceptors].reverse();
  const copied = !allPassThrough(interceptors);

  function intercept(innermost: Next): Next {
    let next = innermost;
    for (const interceptor of outermostLast) next = interceptor(next);
    return next;
  }

  return {
    async unary(call, route, message) {
      const next = intercept(async (request) => {
        const input = (request as UnaryRequest).message as Message;
        const output = await route.implementation(input, new LaneContext(call, request));
        return createResponse(call, create(route.method.output, output as Message), copied);
      });
      const response = await next(createRequest(call, message, copied));
      if (!hasOwnMetadata(response)) {
        call.responseHeader = response.header;
        call.responseTrailer = response.trailer;
      }
      return response.message as Message;
    },

    async stream(call, route, message) {
      const next = intercept(async (request): Promise<AnyResponse> => {
        const input = await takeSingle((request as StreamRequest).message, route);
        const output = route.implementation(input, new LaneContext(call, request));
        return createResponse(
          call,
          mapBursts(output, (burst) => normalize(route, burst)),
          true,
        );
      });
      const response = await next(createRequest(call, only(message), true));
      if (!hasOwnMetadata(response) && response.header !== call.touchedResponseHeader) {
        call.responseHeader = response.header;
      }
      return {
        messages: response.message as AsyncIterable<Message>,
        takeTrailer: () => {
          if (!hasOwnMetadata(response)) call.responseTrailer = response.trailer;
        },
      };
    },
  };
}

/** Whole messages, as interceptors expect them; the very same array where they are whole already. */
function normalize({ method }: StreamRoute, burst: readonly Message[]): readonly Message[] {
  return burst.every((message) => isMessage(message, method.output))
    ? burst
    : burst.map((message) => create(method.output, message));
}

async function* only(message: Message): AsyncGenerator<Message> {
  yield message;
}

/** What interceptors have made of the one request message. @throws ConnectError where it is not one any more */
async function takeSingle(messages: AsyncIterable<unknown>, route: StreamRoute): Promise<Message> {
  const taken: unknown[] = [];
  for await (const message of messages) {
    taken.push(message);
    if (taken.length > 1) throw countError("received extra", route);
  }
  if (taken.length === 0) throw countError("missing", route);
  return taken[0] as Message;
}
