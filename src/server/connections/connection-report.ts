import type { BodyWatch } from "../../lane/body-watch.ts";
import type { Lane } from "../../lane/lane.ts";
import type { OnePort } from "../one-port.ts";
import type { StallGuard } from "../stall-guard.ts";
import type { ConnectionCounts } from "./connection-register.ts";

/** What has become of a listener's connections, and of slow peers on them: for metrics, made when asked for. */
export interface ConnectionReport extends ConnectionCounts {
  /** Calls that failed since nothing of their request came for BODY_TIMEOUT. */
  readonly pausedRequests: number;
  /** Answers that were cut off since nobody took them for STREAM_STALL_TIMEOUT. */
  readonly stalledResponses: number;
}

/** Who counts. */
export interface ConnectionCounters {
  readonly port: Pick<OnePort, "counts">;
  readonly lane: Pick<Lane, "givenUp"> | undefined;
  readonly stallGuard: Pick<StallGuard, "cutOff">;
  readonly bodies: Pick<BodyWatch, "givenUp">;
}

/** Adds it up. */
export function reportConnections({ port, lane, stallGuard, bodies }: ConnectionCounters): ConnectionReport {
  const inLane = lane?.givenUp();
  return {
    ...port.counts(),
    pausedRequests: bodies.givenUp + (inLane?.requests ?? 0),
    stalledResponses: stallGuard.cutOff + (inLane?.responses ?? 0),
  };
}
