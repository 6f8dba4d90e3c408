import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { BackOff } from "./back-off.ts";
import { applyCallPolicy } from "./call-policy.ts";
import { type CredentialOptions, credentialInterceptors } from "./credential.ts";

/** Every call of users.v1.UserService, typed. */
export type UserBridgeClient = Client<typeof UserService>;

/** Where the server is: an address that fetch can call, or a transport of one's own. */
export type UserBridgeClientOptions = (FetchOptions | TransportOptions) & {
  /** How long a unary call may take, all attempts together; 0 means no limit. Streams have none. */
  readonly timeoutMs?: number;
  /** The waits between attempts of a unary call; false means one attempt, and no idempotency key is made. */
  readonly retry?: BackOff | false;
};

interface FetchOptions extends CredentialOptions {
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
  /**
   * E.g. that of `createNodeTransport` in `user-bridge/client/node`, for native gRPC. A credential is the transport's:
   * it alone knows where it goes.
   */
  readonly transport: Transport;
  readonly baseUrl?: never;
  readonly credential?: never;
}

const defaultTimeoutMs = 5_000;
const defaultRetry: BackOff = { firstMs: 100, longestMs: 2_000 };

/**
 * Creates a client, for Node and for browsers. Unary calls end after 5 s unless told otherwise, and are repeated while
 * the server is UNAVAILABLE: writes with an idempotency key, so that they happen once. A server that cannot be reached
 * is UNAVAILABLE whatever the transport calls it.
 *
 * @throws TypeError where the protocol is none that fetch can speak, and where a credential would be sent in the clear
 */
export function createUserBridgeClient(options: UserBridgeClientOptions): UserBridgeClient {
  const { timeoutMs = defaultTimeoutMs, retry = defaultRetry } = options;
  if (options.transport !== undefined && options.credential !== undefined) {
    // Callers without types get here.
    throw new TypeError("give the credential to the transport, which knows where it goes");
  }
  const transport = options.transport ?? createFetchTransport(options);
  return createClient(
    UserService,
    applyCallPolicy(transport, { timeoutMs, retry: retry === false ? undefined : retry }),
  );
}

function createFetchTransport(options: FetchOptions): Transport {
  const { baseUrl, protocol = "connect", interceptors = [], fetch } = options;
  const settings = {
    baseUrl,
    // The last is the innermost: the caller's own see no credential.
    interceptors: [...interceptors, ...credentialInterceptors(baseUrl, options)],
    ...(fetch && { fetch }),
  };
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
