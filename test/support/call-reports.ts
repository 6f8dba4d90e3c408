import { EventEmitter, once } from "node:events";
import type { TestContext } from "node:test";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import type { EndedCall } from "../../src/lane/ended-call.ts";
import type { CallScope } from "../../src/platform/call-scope.ts";
import type { Admission, CallTelemetry } from "../../src/server/call-life.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type HostDependencies, openHost } from "../../src/server/host.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { testLogger } from "./event-system.ts";
import { testConfig } from "./test-app.ts";
import { withDeadline } from "./with-deadline.ts";

/** Which of two ways calls take. */
export type LaneSetting = "on" | "off";

/** A host whose calls are remembered as its telemetry and its admission are told of them. */
export interface ReportingHost {
  readonly url: string;
  /** Everything so far, in order. */
  readonly told: readonly string[];
  readonly ended: readonly EndedCall[];
  /** Waits until something has been told so many times. */
  toldTimes(what: "begun" | "arrived" | "ended" | "left", times: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens one. */
export async function openReportingHost(
  t: TestContext,
  lane: LaneSetting,
  routes: (router: ConnectRouter) => void,
  dependencies: Partial<Pick<HostDependencies, "access">> & Partial<Admission> = {},
): Promise<ReportingHost> {
  const changes = new EventEmitter();
  const told: string[] = [];
  const ended: EndedCall[] = [];
  const tell = (what: string): void => {
    told.push(what);
    changes.emit("told");
  };
  const telemetry: CallTelemetry = {
    begun: () => tell("begun"),
    ended(call) {
      ended.push(call);
      tell("ended");
    },
  };
  const left = new Set<CallScope>();
  const admission: Admission = {
    arrive: () => tell("arrived"),
    enter: (method, scope) => dependencies.enter?.(method, scope),
    leave(scope) {
      tell(left.has(scope) ? "left again" : "left");
      left.add(scope);
    },
  };
  const host = await openHost({
    config: {
      ...testConfig({}),
      corsOrigins: ["http://probe.test"],
      drainTimeoutMs: 500,
      maxMessageBytes: 65_536,
      lane,
    },
    logger: testLogger,
    routes,
    health: createHealthStatus([]),
    telemetry,
    admission,
    access: dependencies.access,
  });
  cleanUpAfter(t, host.close);
  const count = (what: string) => told.filter((entry) => entry === what).length;
  return {
    url: host.url,
    told,
    ended,
    async toldTimes(what, times) {
      const wait = async () => {
        while (count(what) < times) await once(changes, "told");
      };
      await withDeadline(
        `${what} ${times} times, with lane ${lane}; told: ${told.join(" ")}`,
        wait(),
        10_000,
      );
    },
    close: host.close,
  };
}

/** What is the same of a call whichever way it takes, in one line. */
export function describeReport({ method, protocol, error }: EndedCall): string {
  return `${method.name} ${protocol} ${error === undefined ? "OK" : Code[error.code]}`;
}
