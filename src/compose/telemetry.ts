import type { Closing } from "../platform/closing.ts";
import type { Config, TracingConfig } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import type { ObserveQuery } from "../platform/query-observer.ts";
import type { CallTelemetry } from "../server/call-life.ts";
import { createCallLog } from "../telemetry/call-log/call-log.ts";
import type { Metrics } from "../telemetry/metrics/open-metrics.ts";

/** What is told of what a process does, to say so to whoever operates it. */
export interface Telemetry {
  readonly calls: CallTelemetry;
  readonly observeQuery: ObserveQuery | undefined;
  /** Undefined where nobody could read them: there is no internal listener. */
  readonly metrics?: Metrics | undefined;
}

/** A part of it: the metrics, the traces or the log of calls. */
export type TelemetryPart = {
  readonly calls?: Partial<CallTelemetry> | undefined;
  readonly observeQuery?: ObserveQuery | undefined;
};

/** Opens all parts that the configuration asks for. */
export async function openTelemetry(parts: {
  readonly config: Config;
  readonly logger: Logger;
  readonly closing: Closing;
}): Promise<Telemetry> {
  const { tracing } = parts.config;
  const metrics = await openMetrics(parts.config);
  const traces = tracing && (await openTraces({ ...parts, tracing }));
  return { ...combine([traces ?? {}, metrics ?? {}, openCallLog(parts)]), metrics };
}

async function openMetrics({ internal, limits, connections }: Config): Promise<Metrics | undefined> {
  if (internal === undefined) return undefined;
  const { openMetrics: open } = await import("../telemetry/metrics/open-metrics.ts");
  const metrics = open();
  metrics.watch({ limits, maxConnections: connections.maxConnections });
  return metrics;
}

/** OpenTelemetry is loaded only where it is wanted. */
async function openTraces(parts: {
  readonly config: Config;
  readonly tracing: TracingConfig;
  readonly logger: Logger;
  readonly closing: Closing;
}): Promise<TelemetryPart> {
  const { openTracing } = await import("../telemetry/tracing/open-tracing.ts");
  return openTracing({ ...parts, database: parts.config.database });
}

function openCallLog({ config, logger, closing }: Parameters<typeof openTelemetry>[0]): TelemetryPart {
  const callLog = createCallLog(logger, config.callLog);
  if (callLog !== undefined) closing.push("call log", async () => callLog.close());
  return { calls: callLog?.calls };
}

/** All parts as one, in the order of the list; the traces come first, since the log names them. */
function combine(parts: readonly TelemetryPart[]): Telemetry {
  const begun = parts.flatMap(({ calls }) => calls?.begun ?? []);
  const ended = parts.flatMap(({ calls }) => calls?.ended ?? []);
  return {
    calls: {
      begun: (method, scope) => {
        for (const tell of begun) tell(method, scope);
      },
      ended: (call, scope) => {
        for (const tell of ended) tell(call, scope);
      },
    },
    observeQuery: combineQueryObservers(parts.flatMap(({ observeQuery }) => observeQuery ?? [])),
  };
}

function combineQueryObservers(observers: readonly ObserveQuery[]): ObserveQuery | undefined {
  const [first, ...others] = observers;
  if (first === undefined || others.length === 0) return first;
  return (query) => {
    const ends = observers.flatMap((observe) => observe(query) ?? []);
    return (failure) => {
      for (const end of ends) end(failure);
    };
  };
}
