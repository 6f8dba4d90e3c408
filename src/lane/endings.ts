import type { ConnectError } from "@connectrpc/connect";
import { endStreamToJson } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import type { Call } from "./call.ts";
import { compressMinBytes } from "./compression.ts";
import { compressedFlag, wrapInEnvelope } from "./envelope.ts";
import type { Fields } from "./exchange.ts";
import { toFields } from "./fields.ts";

/** How a response with envelopes ends: with HTTP trailers, or with a last envelope. */
export interface Ending {
  readonly bytes: Buffer | undefined;
  readonly trailers: Fields | undefined;
}

const plainEndings: Readonly<Record<string, Ending>> = {
  grpc: { bytes: undefined, trailers: { "grpc-status": "0" } },
  "grpc-web": { bytes: wrapInEnvelope(0b1000_0000, Buffer.from("grpc-status: 0\r\n")), trailers: undefined },
  connect: { bytes: wrapInEnvelope(0b0000_0010, Buffer.from("{}")), trailers: undefined },
};

/** The ending of a call in a protocol with envelopes; a promise only where it is large enough to be compressed. */
export function makeEnding(call: Call, error: ConnectError | undefined): Ending | Promise<Ending> {
  const { protocol } = call.wire;
  if (error === undefined && call.touchedResponseTrailer === undefined) {
    return plainEndings[protocol.name] as Ending;
  }
  const trailer = call.responseTrailer;
  if (protocol.name === "connect") {
    return wrapEnding(call, Buffer.from(JSON.stringify(endStreamToJson(trailer, error, undefined))));
  }
  if (error !== undefined) setTrailerStatus(trailer, error);
  return protocol.name === "grpc"
    ? { bytes: undefined, trailers: toFields(trailer) }
    : wrapEnding(call, trailerSerialize(trailer));
}

function wrapEnding({ wire, compression }: Call, data: Uint8Array): Ending | Promise<Ending> {
  const { endFlag } = wire.protocol;
  if (compression === undefined || data.length < compressMinBytes) {
    return { bytes: wrapInEnvelope(endFlag, data), trailers: undefined };
  }
  return compression.compress(data).then((compressed) => ({
    bytes: wrapInEnvelope(endFlag | compressedFlag, compressed),
    trailers: undefined,
  }));
}
