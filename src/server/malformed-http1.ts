import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { requestIdOf } from "../platform/call-scope.ts";

/** A connection of Node's HTTP/1.1 server, and the answer that is being made on it. */
type Http1Socket = Duplex & {
  readonly _httpMessage?: (ServerResponse & { readonly req: IncomingMessage }) | null;
  destroySoon?(): void;
};

/** What is wrong, by Node's and llhttp's codes; anything else is a bad request. */
const statuses: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  HPE_HEADER_OVERFLOW: 431,
};

/** What to do about it. */
const remedies: Readonly<Record<number, string>> = {
  400: "the request is not HTTP/1.1 as RFC 9112 has it",
  408: "the request took too long to arrive; send it again",
  413: "the chunk extensions of the request are too long; leave them out",
  431: "the header of the request is too long; send fewer or shorter fields",
};

/**
 * Answers what HTTP/1.1's parser refuses, and ends the connection, as Node does by itself; but with the reason, and an
 * id to quote. For the `clientError` of Node's HTTP server.
 */
export function refuseMalformedHttp1(error: NodeJS.ErrnoException, socket: Duplex): void {
  const { _httpMessage: answer } = socket as Http1Socket;
  // Bytes behind an answer that has begun would be taken for a part of it.
  if (socket.writable && answer?.headersSent !== true) {
    const status = statuses[error.code ?? ""] ?? 400;
    const body = `${remedies[status]}\n`;
    socket.write(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        "connection: close",
        "content-type: text/plain",
        `content-length: ${body.length}`,
        `x-request-id: ${requestIdOf(answer?.req.headers ?? {})}`,
        "",
        body,
      ].join("\r\n"),
    );
  }
  const { destroySoon } = socket as Http1Socket;
  if (destroySoon) destroySoon.call(socket);
  else socket.end();
}

/** Refuses an expectation that nobody meets. For the `checkExpectation` of Node's HTTP servers. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(417, { "content-type": "text/plain", "x-request-id": requestIdOf(request.headers) });
  response.end("leave the field `expect` out, or send `expect: 100-continue`\n");
}
