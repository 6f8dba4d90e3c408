import type http2 from "node:http2";
import type net from "node:net";
import type { SessionHealth } from "./session-health.ts";

/** What is spoken on a connection; `unknown` while it has not said enough, a TLS handshake included. */
export type ConnectionProtocol = "unknown" | "http1" | "http2";

/** Where a socket, a session and a stream keep the connection that they belong to. */
export const connectionOf = Symbol("connection");

/** A connection of the public or the internal port, from its acceptance to its end. */
export class Connection {
  /** With TLS, what is inside it once hands have been shaken. */
  socket: net.Socket;
  protocol: ConnectionProtocol = "unknown";
  /** Over HTTP/2, once it has begun. */
  session: http2.ServerHttp2Session | undefined;
  health: SessionHealth | undefined;
  /** Requests that have begun and are not answered. */
  callsInFlight = 0;
  /** Since when there are none; `performance.now()`. */
  idleSince: number = performance.now();
  /** Whether it has carried a request. */
  isUsed = false;
  /** It is on its way out, and takes no connection's place any more. */
  isLeaving = false;
  /** It has been let in only to be told that there is no room. */
  isRefused = false;
  /** How often it has been looked at. */
  looks = 0;
  /** The same since it is on its way out. */
  leavingLooks = 0;
  /** One of its requests has been answered, or left. */
  callEnded: () => void = () => {};
  /** The HTTP/2 stream that began last. */
  lastStreamId = 0;

  constructor(socket: net.Socket) {
    this.socket = socket;
  }
}

/** Something that carries its connection. */
export interface OfConnection {
  [connectionOf]?: Connection | undefined;
}
