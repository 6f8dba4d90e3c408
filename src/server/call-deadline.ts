import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { connectUnary, grpc } from "../lane/protocol.ts";
import type { DeadlineConfig } from "../platform/config.ts";
import { wrapHandler } from "./wrapped-handler.ts";

/** How long a call may last, in milliseconds, by what its caller has asked for; undefined: for ever. */
export type LimitTimeout = (method: DescMethod, requestedMs: number | undefined) => number | undefined;

/**
 * Creates the rule. Calls whose answer is one message get the default where their callers name no deadline, and none of
 * them lasts longer than the maximum. Streams of answers last as long as their callers like.
 *
 * @param deadlines undefined: callers decide alone
 */
export function createTimeoutLimit(deadlines: DeadlineConfig | undefined): LimitTimeout {
  return ({ methodKind }, requestedMs) =>
    deadlines === undefined || methodKind === "server_streaming" || methodKind === "bidi_streaming"
      ? requestedMs
      : Math.min(requestedMs ?? deadlines.defaultMs, deadlines.maximumMs);
}

/**
 * Applies the rule to what connect-es answers: it sets the header that connect-es reads its deadline from. A timeout that
 * no timer can hold, which callers send to mean "practically never", is shortened, since connect-es would let it expire
 * at once. One that cannot be read is left as it is, and refused.
 *
 * connect-es waits for a whole request before it looks at the deadline: here a request that is not complete by then ends.
 */
export function limitDeadlines(limitTimeout: LimitTimeout): (handler: UniversalHandler) => UniversalHandler {
  return (handler) =>
    wrapHandler(handler, async (request) => {
      const { readTimeout, name } = timeoutHeaderOf(request);
      const given = request.header.get(name);
      const requestedMs = readTimeout({ [name]: given ?? undefined });
      if (requestedMs instanceof ConnectError) return handler(request);
      const timeoutMs = limitTimeout(handler.method, requestedMs);
      if (timeoutMs === undefined) return handler(request);
      request.header.set(
        name,
        name === "grpc-timeout" ? toGrpcTimeout(timeoutMs) : String(Math.ceil(timeoutMs)),
      );
      // Of a stream of requests, the handler gets what has come so far.
      if (handler.method.methodKind === "bidi_streaming") return handler(request);
      return handler({ ...request, body: endAt(performance.now() + timeoutMs, request.body) });
    });
}

function timeoutHeaderOf({ header }: UniversalServerRequest) {
  // Media types have no case (RFC 9110, section 8.3.1).
  return /^application\/grpc/i.test(header.get("content-type") ?? "")
    ? ({ name: "grpc-timeout", readTimeout: grpc.readTimeout } as const)
    : ({ name: "connect-timeout-ms", readTimeout: connectUnary.readTimeout } as const);
}

/** Eight digits at most. */
function toGrpcTimeout(timeoutMs: number): string {
  return timeoutMs < 1e8 ? `${Math.ceil(timeoutMs)}m` : `${Math.ceil(timeoutMs / 1_000)}S`;
}

function endAt(endsAt: number, body: UniversalServerRequest["body"]): typeof body {
  if (typeof body !== "object" || body === null || !(Symbol.asyncIterator in body)) return body;
  const source = body as AsyncIterable<Uint8Array>;
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        next: () => before(endsAt, iterator.next()),
        return: async (value) => (await iterator.return?.(value)) ?? { done: true, value },
      };
    },
  };
}

function before<T>(endsAt: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    const timer = setTimeout(late, Math.max(0, endsAt - performance.now()));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
