import http2 from "node:http2";
import type { RequestListener } from "./one-port.ts";

/** How long a client may go on sending what nobody reads. */
const discardTimeoutMs = 5_000;

/**
 * Lets a call be answered before its request has arrived whole, as one with too large a message is.
 *
 * Without this, the answer is lost or the client waits for ever to send the rest: Node destroys a request
 * (over HTTP/1.1 together with its connection) whose reader stops early, and one that has been read in part it
 * neither reads to its end nor closes.
 */
export function allowEarlyAnswer(...[request, response]: Parameters<RequestListener>): void {
  request[Symbol.asyncIterator] = () => request.iterator({ destroyOnReturn: false });
  response.once("finish", () => {
    if (request.complete) return;
    const { socket } = request;
    const { stream } = response;
    request.resume();
    const timer = setTimeout(() => {
      // RFC 9113, section 8.1: how a server that has answered asks the client to send no more.
      if (stream) stream.close(http2.constants.NGHTTP2_NO_ERROR);
      else socket.destroy();
    }, discardTimeoutMs);
    for (const event of ["end", "close"]) request.once(event, () => clearTimeout(timer));
  });
}
