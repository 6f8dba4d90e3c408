import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { createMilestones } from "./milestones.ts";
import { withDeadline } from "./with-deadline.ts";

/** Somebody who watches a server's health, as a load balancer does. */
export interface HealthWatch {
  /** Everything that was told, in order. */
  readonly told: readonly string[];
  /** Waits until this is what was told last. */
  until(status: "SERVING" | "NOT_SERVING"): Promise<void>;
  close(): Promise<void>;
}

/** Begins to watch; a watch that breaks is begun again. */
export function watchHealth(url: string): HealthWatch {
  const leaving = new AbortController();
  const changes = createMilestones();
  const told: string[] = [];
  const client = createClient(Health, createGrpcTransport({ baseUrl: url }));

  async function watch(): Promise<void> {
    while (!leaving.signal.aborted) {
      try {
        for await (const { status } of client.watch({}, { signal: leaving.signal })) {
          told.push(status === Status.SERVING ? "SERVING" : "NOT_SERVING");
          changes.pass();
        }
      } catch {
        await delay(25);
      }
    }
  }
  const watching = watch();
  return {
    told,
    async until(status) {
      const reached = async () => {
        while (told.at(-1) !== status) await changes.afterNext(1);
      };
      await withDeadline(`health ${status}`, reached());
    },
    async close() {
      leaving.abort();
      await watching;
    },
  };
}
