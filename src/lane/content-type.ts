import { parseContentType as parseConnect } from "@connectrpc/connect/protocol-connect";
import { parseContentType as parseGrpc } from "@connectrpc/connect/protocol-grpc";
import { parseContentType as parseGrpcWeb } from "@connectrpc/connect/protocol-grpc-web";
import type { Encoding } from "./codec.ts";
import { connectStream, connectUnary, grpc, grpcWeb, type Protocol } from "./protocol.ts";

/** What a request's content type says. */
export interface Wire {
  readonly protocol: Protocol;
  readonly encoding: Encoding;
  /** The content type of the response. */
  readonly contentType: string;
}

/** Callers choose the text; without a bound, they would choose how much is remembered. */
const rememberedTypes = 64;
const remembered = new Map<string, { unary: Wire | undefined; stream: Wire | undefined }>();

/** The protocol and encoding of a content type, for a unary or a streaming RPC; undefined where it is none. */
export function readContentType(value: string, kind: "unary" | "stream"): Wire | undefined {
  const known = remembered.get(value);
  if (known !== undefined) return known[kind];
  const parsed = parse(value);
  if (remembered.size < rememberedTypes) remembered.set(value, parsed);
  return parsed[kind];
}

function parse(value: string): { unary: Wire | undefined; stream: Wire | undefined } {
  const ofGrpc = parseGrpc(value);
  if (ofGrpc !== undefined) return both(grpc, ofGrpc.binary);
  const ofWeb = parseGrpcWeb(value);
  if (ofWeb !== undefined)
    return ofWeb.text ? { unary: undefined, stream: undefined } : both(grpcWeb, ofWeb.binary);
  const ofConnect = parseConnect(value);
  return {
    unary: ofConnect?.stream === false ? toWire(connectUnary, ofConnect.binary) : undefined,
    stream: ofConnect?.stream === true ? toWire(connectStream, ofConnect.binary) : undefined,
  };
}

function both(protocol: Protocol, binary: boolean) {
  const wire = toWire(protocol, binary);
  return { unary: wire, stream: wire };
}

function toWire(protocol: Protocol, binary: boolean): Wire {
  const encoding = binary ? "binary" : "json";
  return { protocol, encoding, contentType: protocol.contentTypes[encoding] };
}
