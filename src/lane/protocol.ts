import type { IncomingHttpHeaders } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { parseTimeout as parseConnectTimeout } from "@connectrpc/connect/protocol-connect";
import { parseTimeout as parseGrpcTimeout } from "@connectrpc/connect/protocol-grpc";

/** What the protocols differ in, beside how a response ends. */
export interface Protocol {
  readonly name: "grpc" | "grpc-web" | "connect";
  /** Whether messages are in envelopes. Connect's unary calls have the bare message as their body. */
  readonly enveloped: boolean;
  /** Flag of envelopes that end a request or response and carry no message. */
  readonly endFlag: number;
  readonly contentTypes: { readonly binary: string; readonly json: string };
  /** Header that names the compression of the messages that follow. */
  readonly encodingHeader: "grpc-encoding" | "content-encoding" | "connect-content-encoding";
  /** Header that names the compressions that its sender can read. */
  readonly acceptEncodingHeader: "grpc-accept-encoding" | "accept-encoding" | "connect-accept-encoding";
  /** The call's timeout in milliseconds; undefined where it has none, an error where it is none. */
  readonly readTimeout: (headers: IncomingHttpHeaders) => number | undefined | ConnectError;
}

const grpcHeaders = {
  encodingHeader: "grpc-encoding",
  acceptEncodingHeader: "grpc-accept-encoding",
  readTimeout: (headers) => readTimeout(headers["grpc-timeout"], parseGrpcTimeout),
} as const satisfies Partial<Protocol>;

const readConnectTimeout: Protocol["readTimeout"] = (headers) =>
  readTimeout(headers["connect-timeout-ms"], parseConnectTimeout);

/** gRPC: the status is in the HTTP trailers. */
export const grpc: Protocol = {
  name: "grpc",
  enveloped: true,
  endFlag: 0,
  contentTypes: { binary: "application/grpc+proto", json: "application/grpc+json" },
  ...grpcHeaders,
};

/** gRPC-Web's binary form: the trailers are the body's last envelope. */
export const grpcWeb: Protocol = {
  name: "grpc-web",
  enveloped: true,
  endFlag: 0b1000_0000,
  contentTypes: { binary: "application/grpc-web+proto", json: "application/grpc-web+json" },
  ...grpcHeaders,
};

/** Connect's unary calls: plain HTTP. */
export const connectUnary: Protocol = {
  name: "connect",
  enveloped: false,
  endFlag: 0,
  contentTypes: { binary: "application/proto", json: "application/json" },
  encodingHeader: "content-encoding",
  acceptEncodingHeader: "accept-encoding",
  readTimeout: readConnectTimeout,
};

/** Connect's streams: trailers and error are the body's last envelope, in JSON. */
export const connectStream: Protocol = {
  name: "connect",
  enveloped: true,
  endFlag: 0b0000_0010,
  contentTypes: { binary: "application/connect+proto", json: "application/connect+json" },
  encodingHeader: "connect-content-encoding",
  acceptEncodingHeader: "connect-accept-encoding",
  readTimeout: readConnectTimeout,
};

/** Node's timers hold 2^31 - 1 ms, some 24 days; a longer one fires at once. In whole seconds. */
export const longestTimeoutMs = 2_147_483_000;

type ParseTimeout = (
  value: string,
  maxTimeoutMs: number,
) => { timeoutMs?: number; error?: ConnectError | undefined };

function readTimeout(value: string | string[] | undefined, parse: ParseTimeout) {
  if (value === undefined) return undefined;
  const { timeoutMs, error } = parse(String(value), Number.MAX_SAFE_INTEGER);
  // Callers send such timeouts to mean "practically never".
  return error ?? Math.min(timeoutMs ?? longestTimeoutMs, longestTimeoutMs);
}
