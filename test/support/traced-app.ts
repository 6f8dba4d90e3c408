import type { App } from "../../src/app.ts";
import type { Config, TracingConfig } from "../../src/platform/config.ts";
import type { Backend } from "./databases.ts";
import { type OtlpCollector, startOtlpCollector } from "./otlp-collector.ts";
import type { ExportedSpan } from "./otlp-spans.ts";
import { startTestApp, testConfig } from "./test-app.ts";

/** A program in this process, and the collector that it sends its traces to. */
export interface TracedApp extends App {
  readonly collector: OtlpCollector;
}

/** How traces are made that go to a collector; all are kept. */
export function traceTo(collector: Pick<OtlpCollector, "url">): TracingConfig {
  return {
    endpoint: collector.url,
    headers: {},
    serviceName: "user-bridge",
    resourceAttributes: {},
    sampleRatio: 1,
  };
}

/** Starts both, and ends both after the test. */
export async function startTracedApp(
  onEnd: (cleanUp: () => Promise<void>) => void,
  backend: Backend,
  { tracing, ...overrides }: Omit<Partial<Config>, "tracing"> & { tracing?: Partial<TracingConfig> } = {},
): Promise<TracedApp> {
  const collector = await startOtlpCollector();
  // Undone behind the program, which sends its last spans at its end.
  onEnd(collector.close);
  // A machine that is busy with other tests is no reason to refuse calls.
  const { maxEventLoopDelayMs: _, ...limits } = testConfig({}).limits;
  const app = await startTestApp(onEnd, backend, {
    limits,
    ...overrides,
    tracing: { ...traceTo(collector), ...tracing },
  });
  return { ...app, collector };
}

let made = 0;

/** A caller's span, as W3C's field has it, and where its trace is looked for. */
export function makeTraceparent(flags = "01") {
  made += 1;
  const traceId = `${made}`.padStart(32, "a");
  const spanId = `${made}`.padStart(16, "b");
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

/** Tells the span of a call in a trace from the others. */
export function isServerSpan(traceId: string): (span: ExportedSpan) => boolean {
  return (span) => span.traceId === traceId && span.kind === "server";
}
