import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { HealthStatus } from "./health.status.ts";

/**
 * Serves the gRPC health protocol (https://grpc.io/docs/guides/health-checking/) from one status.
 *
 * Watch sends the present status at once, then each change, and lasts until its signal aborts.
 */
export function createHealthHandler(status: HealthStatus): ServiceImpl<typeof Health> {
  return {
    check({ service }) {
      if (!status.isKnown(service)) throw new ConnectError("unknown service", Code.NotFound);
      return toProto(status.isServing);
    },
    list: () => ({
      statuses: Object.fromEntries(status.serviceNames.map((name) => [name, toProto(status.isServing)])),
    }),
    async *watch({ service }, { signal }) {
      if (!status.isKnown(service)) {
        // The protocol wants the stream left open: a client that saw it end would try again at once, for ever.
        yield { status: ServingStatus.SERVICE_UNKNOWN };
        return await untilAborted(signal);
      }
      for (let last = status.isServing; ; last = await status.waitUntilNot(last, signal)) yield toProto(last);
    },
  };
}

function toProto(isServing: boolean): { status: ServingStatus } {
  return { status: isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING };
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted();
  return new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
