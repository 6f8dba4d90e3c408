/** Facts of a span, by the names of OpenTelemetry's semantic conventions. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** Fields of a request's header that say under which span it is made: W3C's `traceparent`, and `tracestate` if any. */
export type TraceHeaders = Readonly<Record<string, string>>;

/** A span that others can be hung under. */
export interface TraceSpan {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** Whether anybody will see it. Where not, nothing is written down, and others are told so. */
  readonly isSampled: boolean;
  /** What another process is told that is asked for something under this span. */
  headers(): TraceHeaders;
  /** Begins a span of what this one asks others for (kind CLIENT). Others that wait for the same are linked with it. */
  startChild(name: string, attributes: SpanAttributes, others?: readonly TraceSpan[]): ChildSpan;
}

/** A span whose end whoever began it must tell. */
export interface ChildSpan extends TraceSpan {
  /** Ends it. It has failed where these facts have an `error.type`. */
  end(facts?: SpanAttributes): void;
}
