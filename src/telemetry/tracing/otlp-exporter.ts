import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { TracingConfig } from "../../platform/config.ts";

/** How long one batch may take, all attempts together. */
export const exportTimeoutMs = 10_000;

/** Sends spans to a collector. */
export interface OtlpExporter {
  readonly exporter: SpanExporter;
  /** Gives up what is still on its way, and closes the connections. */
  abandon(): void;
}

/** OTLP over HTTP, in protobuf; what a collector has no time for is sent again, for a while. */
export function createOtlpExporter({ endpoint, headers }: TracingConfig): OtlpExporter {
  const options = { keepAlive: true, maxSockets: 4 };
  const agent = new URL(endpoint).protocol === "https:" ? new HttpsAgent(options) : new HttpAgent(options);
  const exporter = withoutVariables(
    () =>
      new OTLPTraceExporter({
        url: `${endpoint}/v1/traces`,
        headers,
        timeoutMillis: exportTimeoutMs,
        concurrencyLimit: 4,
        httpAgentOptions: () => agent,
      }),
  );
  return { exporter, abandon: () => agent.destroy() };
}

/**
 * What OpenTelemetry's variables mean here, the configuration says. The exporter would mix header fields and
 * certificates from others of them into what it is given.
 */
function withoutVariables<T>(make: () => T): T {
  const taken = Object.entries(process.env).filter(([name]) => name.startsWith("OTEL_"));
  for (const [name] of taken) delete process.env[name];
  try {
    return make();
  } finally {
    Object.assign(process.env, Object.fromEntries(taken));
  }
}
