import type { ObserveQuery } from "../../platform/query-observer.ts";
import { callSeconds, Histogram } from "./histogram.ts";
import { labelled, type MetricFamily } from "./metric-family.ts";

/** Times statements. */
export interface StatementMetrics {
  readonly observeQuery: ObserveQuery;
  readonly families: readonly MetricFamily[];
}

/** Creates them. A statement that was broken off since nobody waits for it any more is no failure of the database. */
export function createStatementMetrics(): StatementMetrics {
  const outcomes = {
    ok: new Histogram(callSeconds),
    failed: new Histogram(callSeconds),
    cancelled: new Histogram(callSeconds),
  };
  return {
    observeQuery({ work }) {
      const startedAt = performance.now();
      return (failure) => {
        const isLeft = failure !== undefined && work?.caller.aborted === true;
        const outcome = failure === undefined ? "ok" : isLeft ? "cancelled" : "failed";
        outcomes[outcome].observe(performance.now() - startedAt);
      };
    },
    families: [
      labelled(
        "histogram",
        "database_statement_duration_seconds",
        "How long the database takes for a statement, without the wait for a connection.",
        (name) =>
          Object.entries(outcomes).flatMap(([outcome, durations]) => durations.samples(name, { outcome })),
      ),
    ],
  };
}
