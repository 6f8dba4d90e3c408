import { type SpanContext, TraceFlags } from "@opentelemetry/api";
import { parseTraceParent, TraceState } from "@opentelemetry/core";
import { readB3 } from "./b3.ts";

/** What a request says of the trace that it belongs to. */
export interface IncomingTrace {
  /** The caller's span; undefined where it names none. */
  readonly parent: SpanContext | undefined;
  /** Whether the trace is kept, as the caller has decided; undefined where it leaves that to us. */
  readonly isSampled: boolean | undefined;
}

/** Gives a field of a request's header; several of one name are joined by commas. */
export type ReadField = (name: string) => string | undefined;

/**
 * Reads W3C's `traceparent` and `tracestate`, or else B3. Undefined where there is neither, and where what there is
 * cannot be read: then a new trace begins, as both specifications have it.
 */
export function readIncomingTrace(read: ReadField): IncomingTrace | undefined {
  return readW3c(read) ?? readB3(read);
}

function readW3c(read: ReadField): IncomingTrace | undefined {
  const given = read("traceparent");
  const parsed = given === undefined ? null : parseTraceParent(given);
  if (parsed === null) return undefined;
  const state = read("tracestate");
  return {
    parent: {
      ...parsed,
      isRemote: true,
      // Read when it is written: whatever of it is malformed is left out there.
      ...(state !== undefined && { traceState: new TraceState(state) }),
    },
    isSampled: (parsed.traceFlags & TraceFlags.SAMPLED) !== 0,
  };
}
