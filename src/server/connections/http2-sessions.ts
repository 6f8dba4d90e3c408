import http2 from "node:http2";
import type net from "node:net";
import { type Connection, connectionOf, type OfConnection } from "./connection.ts";
import type { ConnectionRegister } from "./connection-register.ts";
import type { RequestListener, StreamListener, WatchSession } from "./listeners.ts";
import { SessionHealth, type SessionTimers } from "./session-health.ts";

/**
 * No limit in practice. Node goes on counting what waits for a stream after a client has reset it, though it frees
 * it: with its limit of 10 MB, a connection on which enough was left unread would refuse every call for the rest of
 * its life. What a connection may really take is limited by its streams and by the size of messages.
 */
const maxSessionMegabytes = 1_000_000;

/**
 * How many streams a client may take back: so many at once, and so many a second. Node's own 33 a second fit a browser;
 * an edge has thousands of users on one connection, and passes on whatever they cancel. Who goes beyond is ended by a
 * GOAWAY. More than a thousand at once would be too many: all that has arrived begins before anybody else is served.
 */
const resetLimits = { streamResetBurst: 1_000, streamResetRate: 200 };

/** What HTTP/2 connections are served with. */
export interface Http2SessionOptions {
  readonly listener: RequestListener;
  readonly takeStream: StreamListener | undefined;
  readonly maxStreamsPerConnection: number;
  readonly register: ConnectionRegister;
  readonly sessionTimers: SessionTimers;
  /** Others who want to know of each connection. */
  readonly watchSession: WatchSession | undefined;
}

/** Creates the server for connections that have turned out to speak HTTP/2: it never listens itself. */
export function createHttp2Server(options: Http2SessionOptions): http2.Http2Server {
  const { register, listener, takeStream } = options;
  const server = http2.createServer({
    settings: { maxConcurrentStreams: options.maxStreamsPerConnection },
    maxSessionMemory: maxSessionMegabytes,
    ...resetLimits,
    // Otherwise a field with space around its value is dropped: a call whose credential is in it would be the
    // connection's certificate's. HTTP/1.1 takes the space away; whoever reads such a field does.
    strictFieldWhitespaceValidation: false,
  });
  // Never listens either: it makes a request and a response of each stream that it is handed.
  const compatible = http2.createServer(
    listener as (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void,
  );

  server.on("stream", (stream, headers, flags, rawHeaders) => {
    const connection = (stream.session as OfConnection | undefined)?.[connectionOf];
    if (connection !== undefined) connection.lastStreamId = stream.id as number;
    if (stream.destroyed || stream.closed) {
      // Taken back along with its beginning; Node's compatibility layer would throw on an expectation.
      stream.on("error", () => {});
      return;
    }
    if (connection !== undefined) register.callBegun(connection);
    const onClosed = connection?.callEnded ?? ignore;
    if (takeStream?.(stream, headers, rawHeaders, onClosed) !== true) {
      stream.once("close", onClosed);
      compatible.emit("stream", stream, headers, flags, rawHeaders);
    }
  });

  server.on("session", (session: http2.ServerHttp2Session & OfConnection) => {
    const connection = (session.socket as net.Socket & OfConnection)[connectionOf] as Connection;
    connection.session = session;
    connection.callEnded = () => register.callEnded(connection);
    session[connectionOf] = connection;
    connection.health = new SessionHealth(connection, session, options.sessionTimers);
    options.watchSession?.(session, connection.socket);
  });
  return server;
}

function ignore(): void {}
