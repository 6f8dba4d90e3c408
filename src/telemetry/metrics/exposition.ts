import type { IncomingHttpHeaders } from "node:http";
import { type Metric, Registry } from "prom-client";
import type { HttpDocument } from "../../server/http-document.ts";
import type { MetricFamily } from "./metric-family.ts";

/** Where Prometheus looks, unless it is told otherwise. */
const path = "/metrics";

const formats = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openMetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const;

/**
 * Exports families, and what others have registered: in Prometheus's text format 0.0.4, or OpenMetrics 1.0 on request. */
export function createMetricsDocument(
  families: readonly MetricFamily[],
  others: () => Registry,
): HttpDocument {
  // Each format has its own: prom-client renames the counters of OpenMetrics where they are registered.
  let text: Registry | undefined;
  let openMetrics: Registry | undefined;

  function registryOf(headers: IncomingHttpHeaders): Registry {
    if (headers.accept?.includes("application/openmetrics-text") === true) {
      openMetrics ??= fill(formats.openMetrics, families, others());
      return openMetrics;
    }
    text ??= fill(formats.text, families, others());
    return text;
  }

  return {
    path,
    async answer(headers) {
      const registry = registryOf(headers);
      return { headers: { "content-type": registry.contentType }, body: await registry.metrics() };
    },
  };
}

function fill(
  format: (typeof formats)[keyof typeof formats],
  families: readonly MetricFamily[],
  others: Registry,
): Registry {
  const registry = new Registry();
  // Its type says that it takes one of the two.
  registry.setContentType(format as typeof formats.text);
  for (const family of families) registry.registerMetric(toMetric(family));
  for (const other of others.getMetricsAsArray()) {
    registry.registerMetric(passOn(other as unknown as PromMetric));
  }
  return registry;
}

/** What prom-client asks of a metric when it writes it. Its types name more. */
interface PromMetric {
  name: string;
  readonly type: string;
  get(): Promise<object>;
}

function toMetric({ name, help, type, read }: MetricFamily): Metric {
  const metric = {
    name,
    type,
    get: async () => ({ name: metric.name, help, type, values: read() }),
  };
  return metric as unknown as Metric;
}

function passOn(other: PromMetric): Metric {
  const metric = {
    name: other.name,
    type: other.type,
    get: async () => ({ ...(await other.get()), name: metric.name }),
  };
  return metric as unknown as Metric;
}
