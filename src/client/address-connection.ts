import { isIP, type LookupFunction } from "node:net";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type BackOff, chooseDelayMs } from "./back-off.ts";
import { createHttp2Connection } from "./http2-connection.ts";
import type { KeepAlive } from "./keep-alive.ts";
import type { NodeTransportOptions } from "./node.ts";

/** How the connections to all addresses of one host are made. */
export interface AddressConnectionOptions {
  /** Its host stays the calls' authority and the TLS server name, whatever the address. */
  readonly baseUrl: string;
  readonly tls?: NodeTransportOptions["tls"];
  /** Run around every attempt. */
  readonly interceptors: readonly Interceptor[];
  readonly connectTimeoutMs: number;
  /** For how long an address is left alone after so many failures in a row. */
  readonly skip: BackOff;
}

/** The HTTP/2 connection to one address of a host. */
export interface AddressConnection {
  readonly isConnected: boolean;
  /** Whether it has failed lately, so that others should be preferred. */
  readonly isSkipped: boolean;
  /** Connects unless it is connected; concurrent callers share the attempt. Fails with UNAVAILABLE. */
  connect(): Promise<void>;
  call<T>(make: (transport: Transport) => Promise<T>): Promise<T>;
  /** Notes that it is at fault for a call's failure. */
  skip(): void;
  /** Closes it once its calls have ended. */
  retire(): void;
  /** Closes it and fails its calls. */
  close(): void;
}

/** A server's answer may take so much memory, no more: connect-es would take 4 GiB. */
const readMaxBytes = 4 * 1024 ** 2;

/** The loss of an idle connection is found out before a call meets it, so that calls go to the others. */
const keepAlive: KeepAlive = { intervalMs: 10_000, timeoutMs: 5_000, whileIdle: true };

/** Prepares a connection to one address; it is made at the first call of `connect`, and again after it was lost. */
export function createAddressConnection(
  address: string,
  options: AddressConnectionOptions,
): AddressConnection {
  const { baseUrl, tls, connectTimeoutMs, skip, interceptors } = options;
  const connection = createHttp2Connection({
    baseUrl,
    connectTimeoutMs,
    keepAlive,
    session: { ...tls, lookup: alwaysFind(address) },
  });
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: connection,
    readMaxBytes,
    interceptors: [...interceptors],
  });
  let failures = 0;
  let skippedUntil = Number.NEGATIVE_INFINITY;
  let calls = 0;
  let isRetired = false;

  function noteFailure(): void {
    // Calls that fail together are one failure.
    if (performance.now() < skippedUntil) return;
    skippedUntil = performance.now() + chooseDelayMs(skip, failures);
    failures += 1;
  }

  function closeIfDone(): void {
    if (isRetired && calls === 0) connection.close();
  }

  return {
    get isConnected() {
      return connection.isConnected;
    },
    get isSkipped() {
      return performance.now() < skippedUntil;
    },
    async connect() {
      try {
        await connection.connect();
      } catch (error) {
        noteFailure();
        throw error;
      }
    },
    async call(make) {
      calls += 1;
      try {
        const answer = await make(transport);
        failures = 0;
        return answer;
      } finally {
        calls -= 1;
        closeIfDone();
      }
    },
    skip: noteFailure,
    retire() {
      isRetired = true;
      closeIfDone();
    },
    close: connection.close,
  };
}

/** A look-up that finds the one address, whatever the name. */
function alwaysFind(address: string): LookupFunction {
  const family = isIP(address);
  return (_host, { all }, found) => {
    if (all === true) found(null, [{ address, family }]);
    else found(null, address, family);
  };
}
