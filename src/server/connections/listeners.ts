import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";

/** Answers a request of either HTTP version. */
export type RequestListener = (
  request: http.IncomingMessage & http2.Http2ServerRequest,
  response: http.ServerResponse & http2.Http2ServerResponse,
) => void;

/**
 * Answers a request on an HTTP/2 stream before Node's compatibility layer sees it. False: not touched. Otherwise
 * `onClosed` is called when the stream has closed: so that one listener a stream will do.
 */
export type StreamListener = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  rawHeaders: readonly string[],
  onClosed: () => void,
) => boolean;

/** Told of each HTTP/2 connection, before any of its streams. `socket`: with TLS, what is inside it. */
export type WatchSession = (session: http2.ServerHttp2Session, socket: net.Socket) => void;
