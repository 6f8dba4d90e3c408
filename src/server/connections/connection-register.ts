import type net from "node:net";
import { Connection, type ConnectionProtocol } from "./connection.ts";

/** Why a connection was ended that its peer had not ended: one reason a timer. */
export type ConnectionTimer = "first_bytes" | "header" | "settings" | "keepalive";

/** What has become of the connections of a port. */
export interface ConnectionCounts {
  /** Open now. Those that are being told to go are not among them. */
  readonly open: Readonly<Record<ConnectionProtocol, number>>;
  /** Let in no further, since all others were busy. */
  readonly refused: number;
  /** Ended while idle, to make room for another. */
  readonly evicted: number;
  readonly endedBy: Readonly<Record<ConnectionTimer, number>>;
}

/**
 * All connections of a port, and which of them are idle, for how long. Every event of a connection costs the same,
 * however many there are.
 */
export class ConnectionRegister {
  /** All that have not closed. */
  readonly all = new Set<Connection>();
  /** Those among them that take no place any more. */
  readonly leaving = new Set<Connection>();
  /** No request has been read from these. Oldest first, as sets keep the order in which they are filled. */
  readonly unused = new Set<Connection>();
  /** These have been used and no request is in flight. Longest idle first. */
  readonly idle = new Set<Connection>();
  refused = 0;
  evicted = 0;
  readonly endedBy: Record<ConnectionTimer, number> = {
    first_bytes: 0,
    header: 0,
    settings: 0,
    keepalive: 0,
  };

  /** How many places are taken. */
  get size(): number {
    return this.all.size - this.leaving.size;
  }

  open(socket: net.Socket): Connection {
    const connection = new Connection(socket);
    this.all.add(connection);
    this.unused.add(connection);
    socket.once("close", () => this.#closed(connection));
    return connection;
  }

  callBegun(connection: Connection): void {
    if (connection.callsInFlight++ > 0) return;
    (connection.isUsed ? this.idle : this.unused).delete(connection);
    connection.isUsed = true;
  }

  callEnded(connection: Connection): void {
    if (--connection.callsInFlight > 0 || connection.isLeaving) return;
    connection.idleSince = performance.now();
    this.idle.add(connection);
  }

  /** From now on its place is free. Whoever calls this ends it. */
  leave(connection: Connection): void {
    this.#forget(connection);
    this.leaving.add(connection);
  }

  counts(): ConnectionCounts {
    const open = { unknown: 0, http1: 0, http2: 0 };
    for (const { isLeaving, protocol } of this.all) if (!isLeaving) open[protocol]++;
    return { open, refused: this.refused, evicted: this.evicted, endedBy: { ...this.endedBy } };
  }

  #closed(connection: Connection): void {
    this.all.delete(connection);
    this.leaving.delete(connection);
    this.#forget(connection);
  }

  #forget(connection: Connection): void {
    connection.isLeaving = true;
    this.unused.delete(connection);
    this.idle.delete(connection);
  }
}
