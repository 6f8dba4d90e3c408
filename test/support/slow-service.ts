import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { type StringValue, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { probeRoutes } from "./probe-service.ts";
import { talkRoutes } from "./talk-service.ts";

export const tellPath = "/test.v1.TalkService/Tell";
export const talkPath = "/test.v1.TalkService/Talk";
export const listenPath = "/test.v1.TalkService/Listen";

const says = (value: string): StringValue => create(StringValueSchema, { value });

/** What slow peers talk to. */
export interface SlowService {
  readonly routes: (router: ConnectRouter) => void;
  /** Streams whose handler has begun, and those whose caller it has seen leave. */
  readonly seen: { begun: number; left: number };
}

/**
 * `Call` answers with what it was asked with, `Tell` with the number of its messages, `Talk` with each of them, and
 * `Listen` says that it is there and then nothing, until its caller leaves.
 */
export function createSlowService(): SlowService {
  const seen = { begun: 0, left: 0 };
  const talker = talkRoutes({
    async *listen(_request, { signal }) {
      seen.begun++;
      yield says("here");
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      seen.left++;
    },
    async tell(requests) {
      let count = 0;
      for await (const _request of requests) count++;
      return says(String(count));
    },
    async *talk(requests) {
      for await (const request of requests) yield request;
    },
  });
  const probe = probeRoutes({
    call: (request: Message) => request,
    async *stream(request: Message) {
      yield request as Message & { $typeName: DescMessage["typeName"] };
    },
  });
  return {
    seen,
    routes(router) {
      talker(router);
      probe(router);
    },
  };
}
