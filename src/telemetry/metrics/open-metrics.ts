import type { ObserveQuery } from "../../platform/query-observer.ts";
import type { CallTelemetry } from "../../server/call-life.ts";
import type { HttpDocument } from "../../server/http-document.ts";
import { createCallMetrics } from "./call-metrics.ts";
import { createMetricsDocument } from "./exposition.ts";
import { processFamilies, processRegistry } from "./process-metrics.ts";
import { createStateFamilies, type MetricSources } from "./state-metrics.ts";
import { createStatementMetrics } from "./statement-metrics.ts";
import { WorkMeter } from "./work-meter.ts";

/** The numbers of a process, and how they come about. */
export interface Metrics {
  readonly calls: CallTelemetry;
  readonly observeQuery: ObserveQuery;
  /** For what goes on behind the calls. */
  readonly work: WorkMeter;
  /** Names what is asked when somebody asks; adds to what has been named before. */
  watch(sources: MetricSources): void;
  /** What Prometheus reads. */
  readonly document: HttpDocument;
}

/** Opens them. There is nothing to close: whatever is counted is counted in plain numbers. */
export function openMetrics(): Metrics {
  const calls = createCallMetrics();
  const statements = createStatementMetrics();
  const work = new WorkMeter();
  processRegistry();
  let watched: MetricSources = {};
  const families = [
    ...calls.families,
    ...createStateFamilies(() => watched),
    ...work.families,
    ...statements.families,
    ...processFamilies,
  ];
  return {
    calls: calls.calls,
    observeQuery: statements.observeQuery,
    work,
    watch(sources) {
      watched = { ...watched, ...sources };
    },
    document: createMetricsDocument(families, processRegistry),
  };
}
