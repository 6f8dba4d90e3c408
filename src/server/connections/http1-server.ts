import http from "node:http";
import type net from "node:net";
import { refuseExpectation, refuseMalformedHttp1 } from "../malformed-http1.ts";
import { type Connection, connectionOf, type OfConnection } from "./connection.ts";
import type { ConnectionRegister } from "./connection-register.ts";
import type { RequestListener } from "./listeners.ts";

/** Longer than the idle timeouts of common load balancers (60 s), so that they, not we, end idle connections. */
const keepAliveTimeoutMs = 75_000;

/** A header that is late is noticed at most this part of its time later. */
const looksPerTimeout = 4;

/** What HTTP/1.1 connections are served with. */
export interface Http1ServerOptions {
  readonly listener: RequestListener;
  readonly headerTimeoutMs: number;
  readonly register: ConnectionRegister;
  readonly isDraining: () => boolean;
}

/** Creates the server for connections that have turned out to speak HTTP/1.1: it never listens itself. */
export function createHttp1Server(options: Http1ServerOptions): http.Server {
  const { listener, headerTimeoutMs, register, isDraining } = options;
  const server = http.createServer(
    {
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: headerTimeoutMs,
      connectionsCheckingInterval: Math.ceil(headerTimeoutMs / looksPerTimeout),
      // A request may last: a client's stream is one. Its body has a timer of its own.
      requestTimeout: 0,
      // Refused as all others are, with an id to quote.
      requireHostHeader: false,
    },
    (request, response) => {
      const connection = (request.socket as OfConnection)[connectionOf];
      if (isDraining()) response.shouldKeepAlive = false;
      if (connection !== undefined) register.callBegun(connection);
      response.once("close", () => {
        if (connection !== undefined) register.callEnded(connection);
        if (isDraining()) setImmediate(() => server.closeIdleConnections());
      });
      listener(request as Parameters<RequestListener>[0], response as Parameters<RequestListener>[1]);
    },
  );
  server.on("checkExpectation", refuseExpectation);
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") register.endedBy.header++;
    refuseMalformedHttp1(error, socket);
  });
  // It never listens itself: this starts its watch over slow requests and idle connections.
  server.emit("listening");
  return server;
}

/** Hands a connection over. */
export function serveHttp1(server: http.Server, { socket }: Connection, keepaliveIntervalMs: number): void {
  // HTTP/1.1 has no ping; the kernel asks instead, ten times, a second apart.
  (socket as net.Socket).setKeepAlive(true, keepaliveIntervalMs);
  server.emit("connection", socket);
}
