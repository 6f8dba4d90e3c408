import { Code, ConnectError } from "@connectrpc/connect";
import {
  type AddressConnection,
  type AddressConnectionOptions,
  createAddressConnection,
} from "./address-connection.ts";
import { openAddressPool, type ResolveHost, resolveBySystem } from "./address-pool.ts";
import type { BackOff } from "./back-off.ts";
import { type CredentialOptions, credentialInterceptors } from "./credential.ts";
import { toHttp2CallError, wasRefused } from "./http2-failure.ts";
import { isRepeatable } from "./idempotency-key.ts";
import type { NodeTransport } from "./node.ts";
import { waitForCaller } from "./wait-for-caller.ts";

/** Where to connect to, and how. */
export interface RoundRobinOptions extends CredentialOptions {
  /** Such as `http://auth:50051`. */
  readonly baseUrl: string;
  /** At an https URL: whom to trust and how to identify oneself, as `tls.connect` takes them. */
  readonly tls?: AddressConnectionOptions["tls"];
  readonly resolve?: ResolveHost;
  readonly refreshIntervalMs?: number;
  readonly connectTimeoutMs?: number;
  /** For how long an address that failed is left alone; the bound doubles with each failure. */
  readonly skip?: BackOff;
}

/**
 * Native gRPC over one connection to each address of a host, with calls going round those that are connected
 * (gRPC's `round_robin`). Unary calls only.
 *
 * An address that refuses, goes away, answers UNAVAILABLE or not at all is left alone for a moment. A call that
 * met one goes on to the next address, unless it may have side effects, has no idempotency key and may have been
 * received.
 *
 * @throws TypeError where a credential would be sent in the clear
 */
export function createRoundRobinTransport(options: RoundRobinOptions): NodeTransport {
  const { baseUrl, tls, connectTimeoutMs = 1_000, refreshIntervalMs = 30_000 } = options;
  const { resolve = resolveBySystem, skip = { firstMs: 100, longestMs: 5_000 } } = options;
  const interceptors = credentialInterceptors(baseUrl, options);
  const connectionOptions = {
    baseUrl,
    connectTimeoutMs,
    skip,
    interceptors,
    ...(tls !== undefined && { tls }),
  };
  const pool = openAddressPool({
    // A URL has an IPv6 address in brackets, a resolver not.
    host: new URL(baseUrl).hostname.replace(/^\[|\]$/g, ""),
    resolve,
    refreshIntervalMs,
    connect: (address) => createAddressConnection(address, connectionOptions),
  });
  let turn = 0;

  async function connect(connection: AddressConnection): Promise<AddressConnection> {
    try {
      await connection.connect();
      return connection;
    } catch (error) {
      pool.refresh();
      throw error;
    }
  }

  /** The next that is connected; lets those that should be, but are not, connect meanwhile. */
  function pickConnected(failed: ReadonlySet<AddressConnection>): AddressConnection | undefined {
    const usable = pool.connections.filter((connection) => !failed.has(connection) && !connection.isSkipped);
    const connected = usable.filter((connection) => connection.isConnected);
    for (const connection of usable) {
      if (!connection.isConnected) connect(connection).catch(() => {});
    }
    turn = (turn + 1) % Number.MAX_SAFE_INTEGER;
    return connected[turn % connected.length];
  }

  /** Whichever connects first; those that failed lately only where there is no other. */
  async function pickFirst(failed: ReadonlySet<AddressConnection>): Promise<AddressConnection | undefined> {
    await pool.resolve();
    const candidates = pool.connections.filter((connection) => !failed.has(connection));
    if (candidates.length === 0) return undefined;
    const fresh = candidates.filter((connection) => !connection.isSkipped);
    return Promise.any((fresh.length > 0 ? fresh : candidates).map(connect)).catch(throwFirst);
  }

  return {
    async unary(method, signal, timeoutMs = 0, header, input, contextValues) {
      const endsAt = timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
      const failed = new Set<AddressConnection>();
      let lastError = new ConnectError("no address is left to try", Code.Unavailable);
      for (;;) {
        const connection =
          pickConnected(failed) ?? (await waitForCaller(pickFirst(failed), signal, remainingMs(endsAt)));
        if (connection === undefined) throw lastError;
        try {
          return await connection.call((transport) =>
            transport.unary(method, signal, toTimeout(endsAt), header, input, contextValues),
          );
        } catch (failure) {
          lastError = toHttp2CallError(failure, signal);
          if (![Code.Unavailable, Code.DeadlineExceeded].includes(lastError.code)) throw lastError;
          connection.skip();
          pool.refresh();
          failed.add(connection);
          if (lastError.code === Code.DeadlineExceeded) throw lastError;
          if (!isRepeatable(method, header) && !wasRefused(lastError)) throw lastError;
        }
      }
    },
    stream: () => Promise.reject(new ConnectError("round robin is for unary calls only", Code.Unimplemented)),
    close: () => pool.close(),
  };
}

function throwFirst(error: AggregateError): never {
  throw error.errors[0];
}

function remainingMs(endsAt: number): number {
  return Math.max(0, endsAt - performance.now());
}

/** Whole milliseconds, as gRPC's header has them; 0 means no limit. */
function toTimeout(endsAt: number): number {
  return Number.isFinite(endsAt) ? Math.max(1, Math.ceil(remainingMs(endsAt))) : 0;
}
