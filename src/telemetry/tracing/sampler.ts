import { type Context, createContextKey } from "@opentelemetry/api";
import {
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";

const keepKey = createContextKey("a caller without a span of its own wants the trace to be kept");

/** A context in which a new trace is kept, whatever share of all is. */
export function keepTrace(context: Context): Context {
  return context.setValue(keepKey, true);
}

/** Decides which traces are kept: this share of all that nobody else has decided about, by their ids. */
export interface TraceSampler {
  /** What a tracer asks: spans follow their parents. */
  readonly sampler: Sampler;
  /** Whether a trace is kept that a caller has begun without deciding. All who use the same share decide the same. */
  isKept(traceId: string): boolean;
}

/** @param ratio 0 to 1 */
export function createTraceSampler(ratio: number): TraceSampler {
  const byRatio = new TraceIdRatioBasedSampler(ratio);
  const keep = { decision: SamplingDecision.RECORD_AND_SAMPLED };
  return {
    sampler: new ParentBasedSampler({
      root: {
        shouldSample: (context, traceId) =>
          context.getValue(keepKey) === true ? keep : byRatio.shouldSample(context, traceId),
        toString: () => `KeptOr(${byRatio})`,
      },
    }),
    isKept: (traceId) => byRatio.shouldSample(undefined, traceId).decision === keep.decision,
  };
}
