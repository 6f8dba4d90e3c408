import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { EndedCall } from "../../lane/ended-call.ts";
import { callSeconds, Histogram, messageBytes, streamSeconds } from "./histogram.ts";
import type { Labels } from "./metric-family.ts";

/** Codes by their numbers: 0 is none, the others are {@link Code}'s. */
const codeNames: readonly string[] = Array.from({ length: 17 }, (_, code) => Code[code] ?? "OK");

/**
 * Codes that say that the server has failed. They are exported from a method's first call on, at 0: of a number that
 * appears with its first failure, no rate can tell.
 */
export const serverCodes: readonly Code[] = [
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
];

/** The calls of one RPC. */
export class MethodMeter {
  readonly labels: Labels;
  readonly isStream: boolean;
  inFlight = 0;
  readonly #protocols = new Map<EndedCall["protocol"], ProtocolMeter>();

  constructor(method: DescMethod) {
    this.labels = { service: method.parent.typeName, method: method.name };
    this.isStream = method.methodKind !== "unary";
  }

  ended(call: EndedCall): void {
    this.inFlight -= 1;
    let meter = this.#protocols.get(call.protocol);
    if (meter === undefined) {
      meter = new ProtocolMeter({ ...this.labels, protocol: call.protocol }, this.isStream);
      this.#protocols.set(call.protocol, meter);
    }
    meter.ended(call);
  }

  get protocols(): Iterable<ProtocolMeter> {
    return this.#protocols.values();
  }
}

/** The calls of one RPC in one protocol. */
export class ProtocolMeter {
  readonly labels: Labels;
  readonly requestBytes = new Histogram(messageBytes);
  readonly responseBytes = new Histogram(messageBytes);
  readonly #isStream: boolean;
  readonly #counts = new Float64Array(codeNames.length);
  readonly #durations: (Histogram | undefined)[] = codeNames.map(() => undefined);

  constructor(labels: Labels, isStream: boolean) {
    this.labels = labels;
    this.#isStream = isStream;
  }

  ended({ error, durationMs, requestBytes, responseBytes }: EndedCall): void {
    const code = error === undefined ? 0 : toKnown(error.code);
    (this.#counts[code] as number) += 1;
    let durations = this.#durations[code];
    if (durations === undefined) {
      durations = new Histogram(this.#isStream ? streamSeconds : callSeconds);
      this.#durations[code] = durations;
    }
    durations.observe(durationMs);
    this.requestBytes.observe(requestBytes);
    this.responseBytes.observe(responseBytes);
  }

  /** How many have ended with each code that any has ended with, or that is looked for. */
  *counts(): Iterable<readonly [code: string, calls: number]> {
    for (const [code, name] of codeNames.entries()) {
      const calls = this.#counts[code] as number;
      if (calls > 0 || code === 0 || serverCodes.includes(code)) yield [name, calls];
    }
  }

  /** How long they took, by code. */
  *durations(): Iterable<readonly [code: string, durations: Histogram]> {
    for (const [code, durations] of this.#durations.entries()) {
      if (durations !== undefined) yield [codeNames[code] as string, durations];
    }
  }
}

/** A handler may fail with a number that is no code. */
function toKnown(code: number): number {
  return codeNames[code] === undefined || code === 0 ? Code.Unknown : code;
}
