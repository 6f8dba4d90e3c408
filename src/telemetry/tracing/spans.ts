import {
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { ChildSpan, SpanAttributes, TraceHeaders, TraceSpan } from "../../platform/trace-span.ts";

/** A span that is written down. */
export class SampledSpan implements ChildSpan {
  readonly isSampled = true;
  readonly span: Span;
  readonly #tracer: Tracer;

  constructor(span: Span, tracer: Tracer) {
    this.span = span;
    this.#tracer = tracer;
  }

  get traceId(): string {
    return this.span.spanContext().traceId;
  }

  headers(): TraceHeaders {
    return toHeaders(this.span.spanContext());
  }

  /**
   * Links go both ways: what several traces wait for is a span of one of them, and whoever looks at another finds it
   * by the link of the span that waits.
   */
  startChild(name: string, attributes: SpanAttributes, others: readonly TraceSpan[] = []): ChildSpan {
    const waiting = others.filter((other) => other instanceof SampledSpan).map(({ span }) => span);
    const child = this.#tracer.startSpan(
      name,
      {
        kind: SpanKind.CLIENT,
        attributes,
        ...(waiting.length > 0 && { links: waiting.map((other) => ({ context: other.spanContext() })) }),
      },
      trace.setSpan(ROOT_CONTEXT, this.span),
    );
    const context = child.spanContext();
    for (const other of waiting) {
      if (other.isRecording()) other.addLink({ context });
    }
    return new SampledSpan(child, this.#tracer);
  }

  end(facts?: SpanAttributes): void {
    if (facts !== undefined) {
      this.span.setAttributes(facts);
      // Without a text: those of errors may hold what is nobody's business.
      if ("error.type" in facts) this.span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.span.end();
  }
}

/** A span that nobody will see: it only tells others that they need not write down theirs. */
export class UnsampledSpan implements ChildSpan {
  readonly isSampled = false;
  readonly #context: SpanContext;

  constructor(context: SpanContext) {
    this.#context = context;
  }

  get traceId(): string {
    return this.#context.traceId;
  }

  headers(): TraceHeaders {
    return toHeaders(this.#context);
  }

  startChild(): ChildSpan {
    return this;
  }

  end(): void {}
}

/** Of W3C's flags we know one (https://www.w3.org/TR/trace-context/#trace-flags). */
function toHeaders({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceHeaders {
  const state = traceState?.serialize() ?? "";
  return {
    traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`,
    ...(state !== "" && { tracestate: state }),
  };
}
