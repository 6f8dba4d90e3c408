import { ExportResultCode } from "@opentelemetry/core";
import { BatchSpanProcessor, type SpanExporter, type SpanProcessor } from "@opentelemetry/sdk-trace";
import { runDetached } from "../../platform/current-work.ts";
import { exportTimeoutMs } from "./otlp-exporter.ts";
import type { SpanLosses } from "./span-losses.ts";

/** Spans that wait to be sent: some megabytes at most. */
const maxWaiting = 8_192;

/** Encoding so many takes a few milliseconds, during which nothing else happens. */
const maxBatchSize = 512;

/** How long a span waits for others, so that somebody who looks for it soon finds it. */
const batchDelayMs = 1_000;

/** Spans on their way to an exporter. */
export interface SpanQueue {
  readonly processor: SpanProcessor;
  /** How many have been taken and neither sent nor lost. */
  readonly pending: number;
}

/** Creates a queue with a bound, which counts what it cannot keep and what cannot be sent. */
export function createSpanQueue(exporter: SpanExporter, losses: SpanLosses): SpanQueue {
  let waiting = 0;
  let sending = 0;
  const batches = new BatchSpanProcessor({
    maxQueueSize: maxWaiting,
    maxExportBatchSize: maxBatchSize,
    scheduledDelayMillis: batchDelayMs,
    // Later than the exporter, which gives up by itself.
    exportTimeoutMillis: exportTimeoutMs * 2,
    exporter: {
      export(spans, done) {
        waiting -= spans.length;
        sending += spans.length;
        exporter.export(spans, ({ code, error }) => {
          sending -= spans.length;
          if (code !== ExportResultCode.SUCCESS)
            losses.add(spans.length, error ?? "the collector has refused them");
          // Failures are ours to tell.
          done({ code: ExportResultCode.SUCCESS });
        });
      },
      forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
      shutdown: () => exporter.shutdown(),
    },
  });
  return {
    get pending() {
      return waiting + sending;
    },
    processor: {
      onStart() {},
      onEnd(span) {
        if (waiting >= maxWaiting) {
          losses.add(1, "there are more than the collector takes");
          return;
        }
        waiting += 1;
        // What is begun here goes on for all spans, and is not the work of the call whose span this is.
        runDetached(() => batches.onEnd(span));
      },
      forceFlush: () => batches.forceFlush(),
      shutdown: () => batches.shutdown(),
    },
  };
}
