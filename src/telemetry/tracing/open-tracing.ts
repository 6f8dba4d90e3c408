import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import type { Closing } from "../../platform/closing.ts";
import type { DatabaseConfig, TracingConfig } from "../../platform/config.ts";
import type { Logger } from "../../platform/logger.ts";
import type { ObserveQuery } from "../../platform/query-observer.ts";
import type { CallTelemetry } from "../../server/call-life.ts";
import { createCallSpans } from "./call-spans.ts";
import { createOtlpExporter } from "./otlp-exporter.ts";
import { createQuerySpans } from "./query-spans.ts";
import { createTraceSampler } from "./sampler.ts";
import { createServerSpans } from "./server-spans.ts";
import { createSpanLosses } from "./span-losses.ts";
import { createSpanQueue } from "./span-queue.ts";

/** What traces are made from. */
export interface Tracing {
  readonly calls: CallTelemetry;
  readonly observeQuery: ObserveQuery;
}

/** What tracing needs. */
export interface TracingDependencies {
  readonly tracing: TracingConfig;
  readonly database: DatabaseConfig;
  readonly logger: Logger;
  readonly closing: Closing;
}

/** How long the end of a process waits for the last spans to be taken. */
const flushTimeoutMs = 5_000;

/** An attribute takes no more characters: statements that list much are cut. */
const maxAttributeLength = 4_096;

/**
 * Makes spans and sends them to a collector. Nothing of it is the process's: each program in it has its own, and
 * OpenTelemetry's globals stay untouched.
 */
export function openTracing({ tracing, database, logger, closing }: TracingDependencies): Tracing {
  const losses = createSpanLosses(logger);
  const { exporter, abandon } = createOtlpExporter(tracing);
  const queue = createSpanQueue(exporter, losses);
  const sampler = createTraceSampler(tracing.sampleRatio);
  const provider = new TracerProvider({
    resource: describeProcess(tracing),
    sampler: sampler.sampler,
    spanProcessors: [queue.processor],
    spanLimits: { attributeValueLengthLimit: maxAttributeLength },
  });
  closing.push("traces", async () => {
    const given = new AbortController();
    await Promise.race([
      provider.shutdown().catch(() => {}),
      setTimeout(flushTimeoutMs, undefined, { signal: given.signal }).catch(() => {}),
    ]);
    given.abort();
    abandon();
    if (queue.pending > 0)
      losses.add(queue.pending, "the process ends, and the collector has not taken them");
    losses.report();
  });
  const tracer = provider.getTracer("user-bridge");
  return {
    calls: createCallSpans(createServerSpans(tracer, sampler)),
    observeQuery: createQuerySpans(database),
  };
}

function describeProcess({ serviceName, resourceAttributes }: TracingConfig) {
  return defaultResource().merge(
    resourceFromAttributes({
      "service.instance.id": randomUUID(),
      ...resourceAttributes,
      "service.name": serviceName,
    }),
  );
}
