import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readIncomingTrace } from "../src/telemetry/tracing/incoming-trace.ts";

const traceId = "463ac35c9f6413ad48485a3953bb6124";
const shortId = "48485a3953bb6124";
const spanId = "a2fb4a1d1a96d312";
const other = "0af7651916cd43dd8448eb211c80319c";

function read(fields: Readonly<Record<string, string>>) {
  const trace = readIncomingTrace((name) => fields[name]);
  return trace && [trace.parent?.traceId, trace.parent?.spanId, trace.isSampled];
}

const readable = {
  "traceparent, kept": [{ traceparent: `00-${traceId}-${spanId}-01` }, [traceId, spanId, true]],
  "traceparent, not kept": [{ traceparent: `00-${traceId}-${spanId}-00` }, [traceId, spanId, false]],
  "traceparent of a later version": [
    { traceparent: `01-${traceId}-${spanId}-01-more` },
    [traceId, spanId, true],
  ],
  "traceparent before b3": [
    { traceparent: `00-${traceId}-${spanId}-00`, b3: `${other}-${spanId}-1` },
    [traceId, spanId, false],
  ],
  "b3 where traceparent is malformed": [
    { traceparent: "00-junk", b3: `${traceId}-${spanId}-1` },
    [traceId, spanId, true],
  ],
  "b3, kept": [{ b3: `${traceId}-${spanId}-1` }, [traceId, spanId, true]],
  "b3, not kept": [{ b3: `${traceId}-${spanId}-0` }, [traceId, spanId, false]],
  "b3 for debugging": [{ b3: `${traceId}-${spanId}-d` }, [traceId, spanId, true]],
  "b3 with its parent": [{ b3: `${traceId}-${spanId}-1-05e3ac9a4f6e3b90` }, [traceId, spanId, true]],
  "b3 of 64 bits": [{ b3: `${shortId}-${spanId}-1` }, [shortId.padStart(32, "0"), spanId, true]],
  "b3 that leaves the decision to us": [{ b3: `${traceId}-${spanId}` }, [traceId, spanId, undefined]],
  "b3 with nothing but a no": [{ b3: "0" }, [undefined, undefined, false]],
  "b3 with nothing but a yes": [{ b3: "1" }, [undefined, undefined, true]],
  "b3 before its several fields": [
    { b3: `${traceId}-${spanId}-1`, "x-b3-traceid": other, "x-b3-spanid": spanId },
    [traceId, spanId, true],
  ],
  "several fields, kept": [
    { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-sampled": "1" },
    [traceId, spanId, true],
  ],
  "several fields, not kept": [
    { "x-b3-traceid": shortId, "x-b3-spanid": spanId, "x-b3-sampled": "0" },
    [shortId.padStart(32, "0"), spanId, false],
  ],
  "several fields of an older tracer": [
    { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-sampled": "True" },
    [traceId, spanId, true],
  ],
  "several fields for debugging": [
    { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-flags": "1", "x-b3-sampled": "0" },
    [traceId, spanId, true],
  ],
  "several fields that leave the decision to us": [
    { "x-b3-traceid": traceId, "x-b3-spanid": spanId },
    [traceId, spanId, undefined],
  ],
  "nothing but x-b3-sampled": [{ "x-b3-sampled": "0" }, [undefined, undefined, false]],
} as const;

const unreadable = {
  nothing: {},
  "words in traceparent": { traceparent: "hello" },
  "a traceparent of version ff": { traceparent: `ff-${traceId}-${spanId}-01` },
  "more behind a traceparent of version 00": { traceparent: `00-${traceId}-${spanId}-01-more` },
  "zeros for a trace": { traceparent: `00-${"0".repeat(32)}-${spanId}-01` },
  "zeros for a span": { traceparent: `00-${traceId}-${"0".repeat(16)}-01` },
  "an upper-case traceparent": { traceparent: `00-${traceId.toUpperCase()}-${spanId}-01` },
  "two traceparents": { traceparent: `00-${traceId}-${spanId}-01, 00-${other}-${spanId}-01` },
  "a tracestate without a traceparent": { tracestate: "a=b" },
  "words in b3": { b3: "hello" },
  "a trace in the middle of something": { b3: `junk${traceId}-${spanId}-1junk` },
  "an upper-case b3": { b3: `${traceId.toUpperCase()}-${spanId}-1` },
  "zeros in b3": { b3: `${"0".repeat(32)}-${spanId}-1` },
  "a b3 with another decision": { b3: `${traceId}-${spanId}-2` },
  "a trace of 20 digits": { "x-b3-traceid": "12345678901234567890", "x-b3-spanid": spanId },
  "a trace without a span": { "x-b3-traceid": traceId },
  "an x-b3-sampled that says neither": { "x-b3-sampled": "maybe" },
};

describe("of the trace that a request belongs to", () => {
  for (const [name, [fields, expected]] of Object.entries(readable)) {
    test(`one is told by ${name}`, () => assert.deepEqual(read(fields), expected));
  }
  for (const [name, fields] of Object.entries(unreadable)) {
    test(`nothing is told by ${name}`, () => assert.equal(read(fields), undefined));
  }
  test("a tracestate goes along, without what is malformed in it", () => {
    const fields: Record<string, string> = {
      traceparent: `00-${traceId}-${spanId}-01`,
      tracestate: "good=1,BAD KEY=2,also=3",
    };
    const trace = readIncomingTrace((name) => fields[name]);
    assert.equal(trace?.parent?.traceState?.serialize(), "good=1,also=3");
  });
});
