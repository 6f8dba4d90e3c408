import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import type { Interceptor, Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { type CredentialOptions, credentialInterceptors } from "./credential.ts";
import { createHttp2Connection } from "./http2-connection.ts";
import { toHttp2CallError } from "./http2-failure.ts";
import type { KeepAlive } from "./keep-alive.ts";

/** One HTTP/2 connection that all calls share, for {@link createUserBridgeClient}'s option `transport`. */
export interface NodeTransport extends Transport {
  /** Closes the connection and fails the calls on it. */
  close(): void;
}

/** Where to connect to, and how. */
export interface NodeTransportOptions extends CredentialOptions {
  /** Such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  readonly protocol?: "grpc" | "grpc-web" | "connect";
  /** Run around every attempt, e.g. to add headers. */
  readonly interceptors?: readonly Interceptor[];
  /** At an https URL: whom to trust (`ca`) and one's own certificate (`cert`, `key`), as `tls.connect` takes them. */
  readonly tls?: ClientSessionOptions | SecureClientSessionOptions | undefined;
}

/** As gRPC's MIN_CONNECT_TIMEOUT (connection-backoff.md): less would never connect over a slow network. */
const connectTimeoutMs = 20_000;

const keepAlive: KeepAlive = {
  intervalMs: 10_000,
  timeoutMs: 5_000,
  // Servers of other makes take pings on idle connections amiss (gRFC A8).
  whileIdle: false,
  idleTimeoutMs: 15 * 60_000,
};

/**
 * Prepares a connection for Node; it is made at the first call, and again after it was lost. It needs
 * `@connectrpc/connect-node` and therefore is no part of `user-bridge/client`, which browsers load.
 *
 * A call fails with UNAVAILABLE whenever the server could not be reached, went away or cut its answer off.
 *
 * @throws TypeError where a credential would be sent in the clear
 */
export function createNodeTransport(options: NodeTransportOptions): NodeTransport {
  const { baseUrl, protocol = "grpc", interceptors = [], tls } = options;
  const connection = createHttp2Connection({ baseUrl, connectTimeoutMs, keepAlive, session: tls });
  const settings = {
    baseUrl,
    // The last is the innermost: the caller's own see what the caller sees.
    interceptors: [...interceptors, ...credentialInterceptors(baseUrl, options), translateFailures],
    sessionManager: connection,
  };
  return { ...openTransport(protocol, settings), close: connection.close };
}

function openTransport(
  protocol: NonNullable<NodeTransportOptions["protocol"]>,
  settings: Parameters<typeof createGrpcTransport>[0],
): Transport {
  switch (protocol) {
    case "grpc":
      return createGrpcTransport(settings);
    case "grpc-web":
      return createGrpcWebTransport({ ...settings, httpVersion: "2" });
    case "connect":
      return createConnectTransport({ ...settings, httpVersion: "2" });
  }
}

const translateFailures: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream
      ? { ...response, message: translateStreamFailures(response.message, request.signal) }
      : response;
  } catch (failure) {
    throw toHttp2CallError(failure, request.signal);
  }
};

async function* translateStreamFailures<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (failure) {
    throw toHttp2CallError(failure, signal);
  }
}
