import { TraceFlags } from "@opentelemetry/api";
import type { IncomingTrace, ReadField } from "./incoming-trace.ts";

/*
 * Of one's own, since OpenTelemetry's propagator finds a trace in the middle of a malformed `b3`, hands upper-case ids
 * on as they are, drops a decision that comes without ids (`b3: 0`), and takes a decision that is left to us for a no.
 */

const single = /^(?:([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?|([01d]))$/;
const traceIdPattern = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/;
const spanIdPattern = /^[0-9a-f]{16}$/;
const zeros = /^0+$/;

/** Reads B3's one field, or else its several (https://github.com/openzipkin/b3-propagation). */
export function readB3(read: ReadField): IncomingTrace | undefined {
  const given = read("b3");
  if (given === undefined) return readSeveral(read);
  const match = single.exec(given);
  if (match === null) return undefined;
  const [, traceId, spanId, decision, soleDecision] = match;
  return toTrace(traceId, spanId, readDecision(decision ?? soleDecision));
}

function readSeveral(read: ReadField): IncomingTrace | undefined {
  const traceId = read("x-b3-traceid");
  const sampled = read("x-b3-sampled");
  const flags = read("x-b3-flags");
  if (traceId === undefined && sampled === undefined && flags === undefined) return undefined;
  const isSampled = flags === "1" ? true : readDecision(sampled?.toLowerCase());
  if (traceId === undefined) return toTrace(undefined, undefined, isSampled);
  const spanId = read("x-b3-spanid") ?? "";
  return traceIdPattern.test(traceId) && spanIdPattern.test(spanId)
    ? toTrace(traceId, spanId, isSampled)
    : undefined;
}

/** Debug is a yes. Older tracers write words. */
function readDecision(text: string | undefined): boolean | undefined {
  switch (text) {
    case "1":
    case "d":
    case "true":
      return true;
    case "0":
    case "false":
      return false;
    default:
      return undefined;
  }
}

function toTrace(
  traceId: string | undefined,
  spanId: string | undefined,
  isSampled: boolean | undefined,
): IncomingTrace | undefined {
  if (traceId === undefined || spanId === undefined) {
    return isSampled === undefined ? undefined : { parent: undefined, isSampled };
  }
  if (zeros.test(traceId) || zeros.test(spanId)) return undefined;
  return {
    parent: {
      traceId: traceId.padStart(32, "0"),
      spanId,
      isRemote: true,
      traceFlags: isSampled === true ? TraceFlags.SAMPLED : TraceFlags.NONE,
    },
    isSampled,
  };
}
