import net from "node:net";
import { TLSSocket } from "node:tls";
import type { ConnectionConfig } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { type Connection, connectionOf, type OfConnection } from "./connections/connection.ts";
import { createConnectionCap } from "./connections/connection-cap.ts";
import { defaultConnectionConfig } from "./connections/connection-limits.ts";
import { type ConnectionCounts, ConnectionRegister } from "./connections/connection-register.ts";
import { startConnectionSweep } from "./connections/connection-sweep.ts";
import { Handshakes } from "./connections/handshakes.ts";
import { createHttp1Server, serveHttp1 } from "./connections/http1-server.ts";
import { createHttp2Server } from "./connections/http2-sessions.ts";
import type { RequestListener, StreamListener, WatchSession } from "./connections/listeners.ts";
import { createLooks } from "./connections/looks.ts";
import { refuseConnection } from "./connections/refusal.ts";
import { toSessionTimers } from "./connections/session-health.ts";
import { sniff } from "./connections/sniff.ts";
import type { TlsEndpoint } from "./tls.ts";

/** HTTP/1.1 and HTTP/2 on one port. */
export interface OnePort {
  /** The listening socket: a net.Server or a tls.Server. */
  readonly server: net.Server;
  /** What has become of its connections. */
  counts(): ConnectionCounts;
  /**
   * Stops accepting, tells HTTP/2 clients (GOAWAY), closes idle connections and the others as their calls
   * end; after `timeoutMs` it destroys what is left. Resolves when no connection is open.
   */
  drain(timeoutMs: number): Promise<void>;
}

/** What a port is made of. */
export interface OnePortOptions {
  /** What it is protected by; undefined: cleartext. */
  readonly tls?: Pick<TlsEndpoint, "createServer"> | undefined;
  readonly maxStreamsPerConnection: number;
  readonly takeStream?: StreamListener | undefined;
  readonly connections?: ConnectionConfig | undefined;
  readonly watchSession?: WatchSession | undefined;
  readonly logger?: Pick<Logger, "warn"> | undefined;
}

/**
 * Creates the port. With TLS, ALPN tells the version; in cleartext the connection's first bytes do, since
 * Node's servers each speak one version only.
 */
export function createOnePort(listener: RequestListener, options: OnePortOptions): OnePort {
  const { connections: config = defaultConnectionConfig, tls } = options;
  const register = new ConnectionRegister();
  const cap = createConnectionCap(register, config.maxConnections, options.logger);
  const looks = createLooks(config.headerTimeoutMs, config.keepaliveIntervalMs, config.keepaliveTimeoutMs);
  const stopSweep = startConnectionSweep(register, cap, looks, config.headerTimeoutMs);
  const handshakes = new Handshakes();
  let isDraining = false;

  const http1 = createHttp1Server({
    listener,
    headerTimeoutMs: config.headerTimeoutMs,
    register,
    isDraining: () => isDraining,
  });
  const http2 = createHttp2Server({
    listener,
    takeStream: options.takeStream,
    maxStreamsPerConnection: options.maxStreamsPerConnection,
    register,
    sessionTimers: toSessionTimers(config, looks),
    watchSession: options.watchSession,
  });
  http2.on("session", (session) => {
    if (isDraining) session.close();
  });

  function arrive(socket: net.Socket): void {
    const hasRoom = cap.makeRoom();
    const connection = register.open(socket);
    connection.isRefused = !hasRoom;
    // Only until it has said what it speaks, so that it can be told.
    if (!hasRoom) cap.leave(connection);
    if (tls === undefined) greet(connection);
    else handshakes.begun(connection);
  }

  function greet(connection: Connection): void {
    const { socket } = connection;
    // Before a protocol owns the socket, a reset has nobody else to go to.
    socket.on("error", () => socket.destroy());
    if (socket instanceof TLSSocket && socket.alpnProtocol) {
      serve(connection, socket.alpnProtocol === "h2" ? "http2" : "http1");
    } else {
      sniff(socket, (protocol) => serve(connection, protocol));
    }
  }

  function serve(connection: Connection, protocol: "http1" | "http2"): void {
    const { socket } = connection;
    connection.protocol = protocol;
    (socket as OfConnection)[connectionOf] = connection;
    if (connection.isRefused) refuseConnection(connection);
    else if (protocol === "http2") http2.emit("connection", socket);
    else serveHttp1(http1, connection, config.keepaliveIntervalMs);
  }

  const server =
    tls?.createServer((socket) => {
      const connection = handshakes.done(socket);
      if (connection !== undefined) return greet(connection);
      socket.on("error", () => {});
      socket.destroy();
    }) ?? net.createServer();
  server.on("connection", arrive);

  return {
    server,
    counts: () => register.counts(),
    async drain(timeoutMs) {
      isDraining = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const { session, protocol, socket } of register.all) {
        session?.close();
        // Balancers and browsers open connections ahead of need: nobody waits for an answer on these.
        if (protocol === "unknown" && (tls === undefined || socket instanceof TLSSocket)) socket.destroy();
      }
      http1.closeIdleConnections();
      const deadline = setTimeout(() => {
        for (const { session, socket } of register.all) {
          session?.destroy();
          socket.destroy();
        }
      }, timeoutMs);
      await closed;
      clearTimeout(deadline);
      stopSweep();
      http1.close();
    },
  };
}
