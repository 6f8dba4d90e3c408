import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { currentWork } from "./current-work.ts";
import { describeRpc, describeRpcEnd, rpcName } from "./rpc-facts.ts";
import type { TraceHeaders } from "./trace-span.ts";

const none: TraceHeaders = {};

/**
 * Fields to send along with a request that is made on behalf of somebody's call, so that the other process's spans
 * are of the same trace (W3C). None where nobody traces it.
 */
export function outgoingTraceHeaders(): TraceHeaders {
  return currentWork()?.spans[0]?.headers() ?? none;
}

/**
 * The same gRPC transport, whose unary calls are spans of the calls on whose behalf they are made, all attempts of one
 * together. Streams only say what they belong to.
 */
export function traceCalls(transport: Transport): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const span = currentWork()?.spans[0]?.startChild(rpcName(method), describeRpc(method, "grpc"));
      if (span === undefined) {
        return transport.unary(method, signal, timeoutMs, header, input, contextValues);
      }
      try {
        const headers = addFields(header, span.headers());
        const response = await transport.unary(method, signal, timeoutMs, headers, input, contextValues);
        span.end(describeRpcEnd("grpc", undefined, "client"));
        return response;
      } catch (error) {
        span.end(describeRpcEnd("grpc", codeOf(error, signal), "client"));
        throw error;
      }
    },
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.stream(
        method,
        signal,
        timeoutMs,
        addFields(header, outgoingTraceHeaders()),
        input,
        contextValues,
      ),
  };
}

/** Whoever leaves does so with a reason of its own. */
function codeOf(error: unknown, signal: AbortSignal | undefined): Code {
  if (error instanceof ConnectError) return error.code;
  return signal?.aborted === true ? Code.Canceled : Code.Unknown;
}

function addFields(header: ConstructorParameters<typeof Headers>[0], fields: TraceHeaders): Headers {
  const headers = new Headers(header);
  for (const [name, value] of Object.entries(fields)) headers.set(name, value);
  return headers;
}
