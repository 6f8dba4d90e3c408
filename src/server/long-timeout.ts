import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { longestTimeoutMs } from "../lane/protocol.ts";
import { wrapHandler } from "./wrapped-handler.ts";

const grpcUnitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/**
 * Shortens a timeout that no timer can hold to the longest that one can. Callers send such timeouts to mean
 * "practically never", and connect-es would let their calls expire at once.
 */
export function shortenLongTimeouts(handler: UniversalHandler): UniversalHandler {
  return wrapHandler(handler, async (request) => {
    const grpc = /^(\d{1,8})([HMSmun])$/.exec(request.header.get("grpc-timeout") ?? "");
    if (grpc !== null && Number(grpc[1]) * (grpcUnitMs[grpc[2] ?? ""] ?? 0) > longestTimeoutMs) {
      request.header.set("grpc-timeout", `${longestTimeoutMs / 1_000}S`);
    }
    const connect = request.header.get("connect-timeout-ms") ?? "";
    if (/^\d{1,10}$/.test(connect) && Number(connect) > longestTimeoutMs) {
      request.header.set("connect-timeout-ms", String(longestTimeoutMs));
    }
    return handler(request);
  });
}
