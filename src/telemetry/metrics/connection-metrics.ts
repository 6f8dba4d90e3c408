import type { ConnectionReport } from "../../server/connections/connection-report.ts";
import { labelled, type MetricFamily, type Sample } from "./metric-family.ts";

/** The connections of each listener: `public`, `internal`. */
export type CountConnections = () => Readonly<Record<string, ConnectionReport>>;

/** What has become of connections. */
export function createConnectionFamilies(count: () => CountConnections | undefined): readonly MetricFamily[] {
  const ofEach = (read: (counts: ConnectionReport) => readonly Sample[]): readonly Sample[] =>
    Object.entries(count()?.() ?? {}).flatMap(([listener, counts]) =>
      read(counts).map(({ labels, value }) => ({ labels: { listener, ...labels }, value })),
    );
  return [
    labelled("gauge", "connections_open", "Open connections, by what is spoken on them.", () =>
      ofEach(({ open }) =>
        Object.entries(open).map(([protocol, value]) => ({ labels: { protocol }, value })),
      ),
    ),
    labelled(
      "counter",
      "connections_refused_total",
      "Connections let in no further: all others were busy.",
      () => ofEach(({ refused }) => [{ labels: {}, value: refused }]),
    ),
    labelled("counter", "connections_evicted_total", "Connections ended while idle, to make room.", () =>
      ofEach(({ evicted }) => [{ labels: {}, value: evicted }]),
    ),
    labelled("counter", "connections_timed_out_total", "Connections ended by one of the timers.", () =>
      ofEach(({ endedBy }) =>
        Object.entries(endedBy).map(([timer, value]) => ({ labels: { timer }, value })),
      ),
    ),
    labelled(
      "counter",
      "requests_paused_total",
      "Calls that failed since no more of their request came.",
      () => ofEach(({ pausedRequests }) => [{ labels: {}, value: pausedRequests }]),
    ),
    labelled("counter", "responses_stalled_total", "Answers cut off since nobody took them.", () =>
      ofEach(({ stalledResponses }) => [{ labels: {}, value: stalledResponses }]),
    ),
  ];
}
