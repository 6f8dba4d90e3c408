import type { DescMethod } from "@bufbuild/protobuf";
import type { CallTelemetry } from "../../server/call-life.ts";
import { MethodMeter, type ProtocolMeter } from "./method-meter.ts";
import { labelled, type MetricFamily, type Sample } from "./metric-family.ts";

/** Counts calls. */
export interface CallMetrics {
  readonly calls: CallTelemetry;
  readonly families: readonly MetricFamily[];
}

/**
 * Creates them. There are as many numbers as there are RPCs that have been called, protocols and codes: a request for
 * what is no RPC is no call, and leaves nothing behind.
 */
export function createCallMetrics(): CallMetrics {
  const methods = new Map<DescMethod, MethodMeter>();

  function meterOf(method: DescMethod): MethodMeter {
    let meter = methods.get(method);
    if (meter === undefined) {
      meter = new MethodMeter(method);
      methods.set(method, meter);
    }
    return meter;
  }

  const inFlight = (isStream: boolean): Sample[] =>
    methods
      .values()
      .filter((meter) => meter.isStream === isStream)
      .map((meter) => ({ labels: meter.labels, value: meter.inFlight }))
      .toArray();

  function ofEach(
    read: (protocol: ProtocolMeter) => Iterable<Sample>,
    isWanted = (_: MethodMeter) => true,
  ): Sample[] {
    return [...methods.values()]
      .filter(isWanted)
      .flatMap((meter) => [...meter.protocols].flatMap((protocol) => [...read(protocol)]));
  }

  const durations = (name: string, isStream: boolean): Sample[] =>
    ofEach(
      (protocol) =>
        [...protocol.durations()].flatMap(([code, histogram]) =>
          histogram.samples(name, { ...protocol.labels, code }),
        ),
      (meter) => meter.isStream === isStream,
    );

  return {
    calls: {
      begun: (method) => {
        meterOf(method).inFlight += 1;
      },
      ended: (call) => meterOf(call.method).ended(call),
    },
    families: [
      labelled("counter", "calls_total", "Calls and streams that have ended, by what they came to.", () => [
        ...countsOf(methods.values()),
      ]),
      labelled(
        "histogram",
        "call_duration_seconds",
        "How long unary calls take until they are decided.",
        (name) => durations(name, false),
      ),
      labelled("histogram", "stream_duration_seconds", "How long streams last.", (name) =>
        durations(name, true),
      ),
      labelled(
        "histogram",
        "request_size_bytes",
        "Bytes of the body of a request, as far as it was read.",
        (name) => ofEach(({ requestBytes, labels }) => requestBytes.samples(name, labels)),
      ),
      labelled(
        "histogram",
        "response_size_bytes",
        "Bytes of the body of an answer, as they were sent.",
        (name) => ofEach(({ responseBytes, labels }) => responseBytes.samples(name, labels)),
      ),
      labelled("gauge", "calls_in_flight", "Unary calls that have begun and not ended.", () =>
        inFlight(false),
      ),
      labelled("gauge", "streams_open", "Streams that have begun and not ended.", () => inFlight(true)),
    ],
  };
}

function* countsOf(methods: Iterable<MethodMeter>): Iterable<Sample> {
  for (const { isStream, protocols } of methods) {
    const kind = isStream ? "stream" : "unary";
    for (const protocol of protocols) {
      for (const [code, value] of protocol.counts()) {
        yield { labels: { ...protocol.labels, kind, code }, value };
      }
    }
  }
}
