import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { SpanAttributes } from "./trace-span.ts";

/** What an RPC is spoken in. gRPC-Web is gRPC. */
export type RpcSystem = "grpc" | "connect";

/**
 * Which RPC a span is of, by OpenTelemetry's semantic conventions for RPC: `rpc.system.name` and `rpc.method` as they
 * are stable, `rpc.system` and `rpc.service` as most dashboards still ask for them.
 */
export function describeRpc(method: DescMethod, system: RpcSystem): SpanAttributes {
  return {
    "rpc.system": system === "grpc" ? "grpc" : "connect_rpc",
    "rpc.system.name": system === "grpc" ? "grpc" : "connectrpc",
    "rpc.service": method.parent.typeName,
    "rpc.method": rpcName(method),
  };
}

/** What a span of an RPC is called: `package.Service/Method`. */
export function rpcName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Codes that are the server's fault: those for which the conventions have a server's span say ERROR. */
const serverFaults: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

/**
 * What became of an RPC. Whoever calls has failed by any code, whoever serves only by some.
 *
 * @param code undefined where it has ended well
 */
export function describeRpcEnd(
  system: RpcSystem,
  code: Code | undefined,
  side: "client" | "server",
): SpanAttributes {
  const status = statusName(code);
  const isFailure = code !== undefined && (side === "client" || serverFaults.has(code));
  return {
    "rpc.status_code": status,
    ...(system === "grpc"
      ? { "rpc.grpc.status_code": code ?? 0 }
      : code !== undefined && { "rpc.connect_rpc.error_code": codeToString(code) }),
    ...(isFailure && { "error.type": status }),
  };
}

/** As gRPC writes it, with both Ls. */
function statusName(code: Code | undefined): string {
  if (code === undefined) return "OK";
  return code === Code.Canceled ? "CANCELLED" : codeToString(code).toUpperCase();
}
