import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { TLSSocket } from "node:tls";
import type { TlsEndpoint } from "./tls.ts";

/** Answers a request of either HTTP version. */
export type RequestListener = (
  request: http.IncomingMessage & http2.Http2ServerRequest,
  response: http.ServerResponse & http2.Http2ServerResponse,
) => void;

/** Answers a request on an HTTP/2 stream before Node's compatibility layer sees it. False: not touched. */
export type StreamListener = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  rawHeaders: readonly string[],
) => boolean;

/** HTTP/1.1 and HTTP/2 on one port. */
export interface OnePort {
  /** The listening socket: a net.Server or a tls.Server. */
  readonly server: net.Server;
  /**
   * Stops accepting, tells HTTP/2 clients (GOAWAY), closes idle connections and the others as their calls
   * end; after `timeoutMs` it destroys what is left. Resolves when no connection is open.
   */
  drain(timeoutMs: number): Promise<void>;
}

/** Every HTTP/2 connection begins with these bytes (RFC 9113, section 3.4); no HTTP/1.1 method does. */
const prefaceStart = Buffer.from("PRI");

/** A connection that has not said this much after this long is not a client. */
const firstBytesTimeoutMs = 10_000;

/** Longer than the idle timeouts of common load balancers (60 s), so that they, not we, end idle connections. */
const keepAliveTimeoutMs = 75_000;

/**
 * No limit in practice. Node goes on counting what waits for a stream after a client has reset it, though it frees
 * it: with its limit of 10 MB, a connection on which enough was left unread would refuse every call for the rest of
 * its life. What a connection may really take is limited by its streams and by the size of messages.
 */
const maxSessionMegabytes = 1_000_000;

/**
 * Creates the port. With TLS, ALPN tells the version; in cleartext the connection's first bytes do, since
 * Node's servers each speak one version only.
 */
export function createOnePort(
  listener: RequestListener,
  options: {
    /** What the port is protected by; undefined: cleartext. */
    readonly tls?: Pick<TlsEndpoint, "createServer"> | undefined;
    readonly maxStreamsPerConnection: number;
    readonly takeStream?: StreamListener | undefined;
  },
): OnePort {
  const sockets = new Set<net.Socket>();
  const silent = new Set<net.Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  let draining = false;

  const http1 = http.createServer({ keepAliveTimeout: keepAliveTimeoutMs }, (request, response) => {
    if (draining) response.shouldKeepAlive = false;
    response.once("close", () => {
      if (draining) setImmediate(() => http1.closeIdleConnections());
    });
    listener(request as Parameters<RequestListener>[0], response as Parameters<RequestListener>[1]);
  });
  // It never listens itself: this starts its watch over slow requests and idle connections.
  http1.emit("listening");
  const http2Server = http2.createServer({
    settings: { maxConcurrentStreams: options.maxStreamsPerConnection },
    maxSessionMemory: maxSessionMegabytes,
    // Otherwise a field with space around its value is dropped: a call whose credential is in it would be the
    // connection's certificate's. HTTP/1.1 takes the space away; whoever reads such a field does.
    strictFieldWhitespaceValidation: false,
  });
  // Never listens either: it makes a request and a response of each stream that it is handed.
  const compatible = http2.createServer(
    listener as (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void,
  );
  http2Server.on("stream", (stream, headers, flags, rawHeaders) => {
    if (stream.destroyed || stream.closed) {
      // Taken back along with its beginning; Node's compatibility layer would throw on an expectation.
      stream.on("error", () => {});
      return;
    }
    if (options.takeStream?.(stream, headers, rawHeaders) !== true) {
      compatible.emit("stream", stream, headers, flags, rawHeaders);
    }
  });
  http2Server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    if (draining) session.close();
  });

  function accept(socket: net.Socket): void {
    // Before a protocol owns the socket, a reset has nobody else to go to.
    socket.on("error", () => socket.destroy());
    if (socket instanceof TLSSocket && socket.alpnProtocol) {
      (socket.alpnProtocol === "h2" ? http2Server : http1).emit("connection", socket);
      return;
    }
    silent.add(socket);
    let seen: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), firstBytesTimeoutMs);
    socket.once("close", decide);
    socket.on("readable", sniff);

    function decide(): void {
      clearTimeout(timer);
      silent.delete(socket);
    }

    function sniff(): void {
      const bytes: Buffer | null = socket.read();
      if (bytes === null) return;
      seen = Buffer.concat([seen, bytes]);
      const length = Math.min(seen.length, prefaceStart.length);
      const isPrefix = seen.subarray(0, length).equals(prefaceStart.subarray(0, length));
      if (isPrefix && length < prefaceStart.length) return;
      // Only now: what is put back makes the socket readable at once, and sniffing again would never end.
      socket.unshift(seen);
      decide();
      socket.off("readable", sniff);
      (isPrefix ? http2Server : http1).emit("connection", socket);
    }
  }

  const server = options.tls?.createServer(accept) ?? net.createServer(accept);
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  return {
    server,
    async drain(timeoutMs) {
      draining = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      // Balancers and browsers open connections ahead of need: nobody waits for an answer on these.
      for (const socket of silent) socket.destroy();
      http1.closeIdleConnections();
      const deadline = setTimeout(() => {
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      }, timeoutMs);
      await closed;
      clearTimeout(deadline);
      http1.close();
    },
  };
}
