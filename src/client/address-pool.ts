import { lookup } from "node:dns/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { AddressConnection } from "./address-connection.ts";

/** Finds all addresses of a host; fails where it finds none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/** How a pool is made and kept up to date. */
export interface AddressPoolOptions {
  readonly host: string;
  readonly resolve: ResolveHost;
  readonly refreshIntervalMs: number;
  readonly connect: (address: string) => AddressConnection;
}

/** A connection for each address of a host, as DNS has them. */
export interface AddressPool {
  /** As last resolved, in a constant order; empty before that. */
  readonly connections: readonly AddressConnection[];
  /** Waits until the host has been resolved. Fails with UNAVAILABLE where it never was and cannot be. */
  resolve(): Promise<void>;
  /** Resolves the host anew, soon and in the background, because an address has failed. */
  refresh(): void;
  close(): void;
}

/** Failures in quick succession do not ask the resolver more often. */
const leastRefreshIntervalMs = 1_000;

/** As the system resolves names, which includes /etc/hosts. */
export const resolveBySystem: ResolveHost = async (host) => {
  const addresses = await lookup(host, { all: true });
  return addresses.map(({ address }) => address);
};

/**
 * Keeps a connection for each address of the host. Addresses that vanish are closed when their calls have ended;
 * while the host cannot be resolved, those of the last time stay.
 */
export function openAddressPool(options: AddressPoolOptions): AddressPool {
  const { host, resolve, refreshIntervalMs, connect } = options;
  let connections = new Map<string, AddressConnection>();
  let resolving: Promise<void> | undefined;
  let resolvedAt = Number.NEGATIVE_INFINITY;
  let isClosed = false;
  const timer = setInterval(resolveInBackground, refreshIntervalMs);
  timer.unref();

  async function resolveNow(): Promise<void> {
    resolvedAt = performance.now();
    const addresses = await resolve(host);
    if (isClosed || addresses.length === 0) return;
    const old = connections;
    connections = new Map(addresses.map((address) => [address, old.get(address) ?? connect(address)]));
    for (const [address, connection] of old) {
      if (!connections.has(address)) connection.retire();
    }
  }

  function resolveShared(): Promise<void> {
    resolving ??= resolveNow().finally(() => {
      resolving = undefined;
    });
    return resolving;
  }

  function resolveInBackground(): void {
    // Those of the last time are still better than none.
    resolveShared().catch(() => {});
  }

  return {
    get connections() {
      return [...connections.values()];
    },
    async resolve() {
      if (connections.size > 0) return;
      const failure = await resolveShared().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (connections.size === 0) {
        throw new ConnectError(`no address for ${host}`, Code.Unavailable, undefined, undefined, failure);
      }
    },
    refresh() {
      const soonestMs = Math.min(leastRefreshIntervalMs, refreshIntervalMs);
      if (!isClosed && performance.now() - resolvedAt >= soonestMs) resolveInBackground();
    },
    close() {
      isClosed = true;
      clearInterval(timer);
      for (const connection of connections.values()) connection.close();
      connections = new Map();
    },
  };
}
