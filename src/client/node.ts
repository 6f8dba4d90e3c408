import type { Interceptor, Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";

/** One HTTP/2 connection that all calls share, for {@link createUserBridgeClient}'s option `transport`. */
export interface NodeTransport extends Transport {
  /** Closes the connection and fails the calls on it. */
  close(): void;
}

/** Where to connect to, and how. */
export interface NodeTransportOptions {
  /** Such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  readonly protocol?: "grpc" | "grpc-web" | "connect";
  /** Run around every attempt, e.g. to add headers. */
  readonly interceptors?: readonly Interceptor[];
  /** At an https URL: whom to trust and how to identify oneself, as `tls.connect` takes them. */
  readonly tls?: ConstructorParameters<typeof Http2SessionManager>[2];
}

/** A connection that is silent for so long is asked whether it still is one. */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 5_000;

/**
 * Prepares a connection for Node; it is made at the first call, and again after it was lost. It needs
 * `@connectrpc/connect-node` and therefore is no part of `user-bridge/client`, which browsers load.
 */
export function createNodeTransport(options: NodeTransportOptions): NodeTransport {
  const { baseUrl, protocol = "grpc", interceptors = [], tls } = options;
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs, pingTimeoutMs }, tls);
  const settings = { baseUrl, interceptors: [...interceptors], sessionManager };
  return { ...openTransport(protocol, settings), close: () => sessionManager.abort() };
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
