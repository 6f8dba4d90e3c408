import { ROOT_CONTEXT, SpanKind, TraceFlags, type Tracer, trace } from "@opentelemetry/api";
import { RandomIdGenerator } from "@opentelemetry/sdk-trace";
import type { ChildSpan } from "../../platform/trace-span.ts";
import type { IncomingTrace } from "./incoming-trace.ts";
import { keepTrace, type TraceSampler } from "./sampler.ts";
import { SampledSpan, UnsampledSpan } from "./spans.ts";

/** Begins the span of a call that has come in. */
export type StartServerSpan = (name: string, incoming: IncomingTrace | undefined) => ChildSpan;

/** Begins them under their callers' spans, or as new traces. What is not kept does not reach the tracer, if possible. */
export function createServerSpans(tracer: Tracer, { isKept }: TraceSampler): StartServerSpan {
  const ids = new RandomIdGenerator();
  const kind = { kind: SpanKind.SERVER };

  function startNew(name: string, isSampled: boolean | undefined): ChildSpan {
    if (isSampled === false) {
      return new UnsampledSpan({
        traceId: ids.generateTraceId(),
        spanId: ids.generateSpanId(),
        traceFlags: TraceFlags.NONE,
      });
    }
    const span = tracer.startSpan(name, kind, isSampled === true ? keepTrace(ROOT_CONTEXT) : ROOT_CONTEXT);
    return span.isRecording() ? new SampledSpan(span, tracer) : new UnsampledSpan(span.spanContext());
  }

  return (name, incoming) => {
    const parent = incoming?.parent;
    if (parent === undefined) return startNew(name, incoming?.isSampled);
    if (!(incoming?.isSampled ?? isKept(parent.traceId))) {
      // Whoever is asked for something by this call is told of its caller's span, since there is none of the call.
      return new UnsampledSpan({ ...parent, traceFlags: TraceFlags.NONE });
    }
    const context = trace.setSpanContext(ROOT_CONTEXT, { ...parent, traceFlags: TraceFlags.SAMPLED });
    return new SampledSpan(tracer.startSpan(name, kind, context), tracer);
  };
}
