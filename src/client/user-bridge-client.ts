import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { BackOff } from "./back-off.ts";
import { applyCallPolicy } from "./call-policy.ts";

/** Every call of users.v1.UserService, typed. */
export type UserBridgeClient = Client<typeof UserService>;

/** Where the server is: an address that fetch can call, or a transport of one's own. */
export type UserBridgeClientOptions = (FetchOptions | TransportOptions) & {
  /** How long a unary call may take, all attempts together; 0 means no limit. Streams have none. */
  readonly timeoutMs?: number;
  /** The waits between attempts of a call without side effects; false means one attempt. */
  readonly retry?: BackOff | false;
};

interface FetchOptions {
  /** Such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Native gRPC is not for fetch, which hides trailers: it takes a transport of `user-bridge/client/node`. */
  readonly protocol?: "connect" | "grpc-web";
  /** Run around every attempt, e.g. to add headers. */
  readonly interceptors?: readonly Interceptor[];
  /** Instead of the global one, e.g. to send cookies. */
  readonly fetch?: typeof globalThis.fetch;
  readonly transport?: never;
}

interface TransportOptions {
  /** E.g. that of `createNodeTransport` in `user-bridge/client/node`, for native gRPC. */
  readonly transport: Transport;
  readonly baseUrl?: never;
}

const defaultTimeoutMs = 5_000;
const defaultRetry: BackOff = { firstMs: 100, longestMs: 2_000 };

/**
 * Creates a client, for Node and for browsers. Unary calls end after 5 s unless told otherwise; those without
 * side effects are repeated while the server is UNAVAILABLE. A server that cannot be reached is UNAVAILABLE
 * whatever the transport calls it.
 *
 * @throws TypeError where the protocol is none that fetch can speak
 */
export function createUserBridgeClient(options: UserBridgeClientOptions): UserBridgeClient {
  const { timeoutMs = defaultTimeoutMs, retry = defaultRetry } = options;
  const transport = options.transport ?? createFetchTransport(options);
  return createClient(
    UserService,
    applyCallPolicy(transport, { timeoutMs, retry: retry === false ? undefined : retry }),
  );
}

function createFetchTransport(options: FetchOptions): Transport {
  const { baseUrl, protocol = "connect", interceptors = [], fetch } = options;
  const settings = { baseUrl, interceptors: [...interceptors], ...(fetch && { fetch }) };
  switch (protocol) {
    case "connect":
      return createConnectTransport(settings);
    case "grpc-web":
      return createGrpcWebTransport(settings);
    default:
      // Callers without types get here.
      throw new TypeError(
        `fetch cannot speak ${String(protocol)}; for native gRPC give the transport of user-bridge/client/node`,
      );
  }
}
