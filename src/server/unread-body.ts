import http2 from "node:http2";
import { discardRest } from "../lane/http1-exchange.ts";
import type { RequestListener } from "./connections/listeners.ts";
import { joinSmallChunks } from "./small-chunks.ts";

/**
 * Lets a call be answered before its request has arrived whole, as one with too large a message is.
 *
 * Without this, the answer is lost or the client waits for ever to send the rest: Node destroys a request
 * (over HTTP/1.1 together with its connection) whose reader stops early, and one that has been read in part it
 * neither reads to its end nor closes.
 */
export function allowEarlyAnswer(...[request, response]: Parameters<RequestListener>): void {
  // Node tells a request that its connection broke if anybody listens, and does so a moment after it has looked: where
  // its reader has stopped listening in that moment, nobody would take the error, and it would end the process.
  for (const message of [request, response]) message.on("error", () => {});
  request[Symbol.asyncIterator] = () => joinSmallChunks(request.iterator({ destroyOnReturn: false }));
  const { stream } = response;
  if (stream) {
    // Node's response object sends trailers, be they empty, as the last frame of every answer.
    stream.once("wantTrailers", () => {
      if (request.complete) return;
      // RFC 9113, section 8.1: how a server that has answered asks the client to send no more. Not at once, as
      // the event comes from amid the writing of frames, and a reset would overtake those that are left.
      setImmediate(() => stream.close(http2.constants.NGHTTP2_NO_ERROR));
    });
    return;
  }
  response.once("finish", () => discardRest(request));
}
