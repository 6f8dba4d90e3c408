import type { EndedCall } from "../../lane/ended-call.ts";
import type { CallScope } from "../../platform/call-scope.ts";
import { describeRpc, describeRpcEnd, rpcName } from "../../platform/rpc-facts.ts";
import type { SpanAttributes } from "../../platform/trace-span.ts";
import type { CallTelemetry } from "../../server/call-life.ts";
import { readIncomingTrace } from "./incoming-trace.ts";
import type { StartServerSpan } from "./server-spans.ts";
import { SampledSpan } from "./spans.ts";

/** Probes come every few seconds, and their watches last for ever: they are traced for a caller who wants that. */
const untraced: ReadonlySet<string> = new Set(["grpc.health.v1.Health"]);

/** Makes a span of every call. */
export function createCallSpans(start: StartServerSpan): CallTelemetry {
  return {
    begun(method, scope) {
      const incoming = readIncomingTrace((name) => scope.header(name));
      if (incoming === undefined && untraced.has(method.parent.typeName)) return;
      scope.span = start(rpcName(method), incoming);
    },
    ended(call, scope) {
      if (scope.span instanceof SampledSpan) scope.span.end(describe(call, scope));
    },
  };
}

/**
 * Facts of a call: none of what its message or its fields hold, and of who calls no more than the address and how
 * they have shown who they are.
 */
function describe(
  { method, protocol, error, requestBytes, responseBytes }: EndedCall,
  scope: CallScope,
): SpanAttributes {
  const system = protocol === "connect" ? "connect" : "grpc";
  const { address } = scope;
  return {
    ...describeRpc(method, system),
    ...describeRpcEnd(system, error?.code, "server"),
    ...(address !== "" && { "client.address": address }),
    "network.protocol.version": ":path" in scope.origin.requestHeaders ? "2" : "1.1",
    "user_bridge.protocol": protocol,
    "user_bridge.request.id": scope.requestId,
    "user_bridge.principal.kind": scope.principal.kind,
    "user_bridge.request.size": requestBytes,
    "user_bridge.response.size": responseBytes,
  };
}
