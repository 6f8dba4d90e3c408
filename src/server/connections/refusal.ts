import { randomUUID } from "node:crypto";
import http2 from "node:http2";
import type net from "node:net";
import type { Connection } from "./connection.ts";

/** For a client that comes again. */
const retryAfterSeconds = 5;

const advice =
  "all connections that this server takes are busy: wait, connect again, and keep the connection";

/** Tells a client that there is no room for its connection, in what it speaks, and hangs up. */
export function refuseConnection({ socket, protocol }: Connection): void {
  socket.on("error", () => {});
  // Closing over unread bytes would reset the connection under the answer.
  socket.resume();
  socket.end(protocol === "http2" ? goAway() : serviceUnavailable());
  endWithPeer(socket);
}

/** Closes as soon as the other end does. */
function endWithPeer(socket: net.Socket): void {
  socket.once("end", () => socket.destroy());
}

function serviceUnavailable(): string {
  const body = `${advice}\n`;
  return [
    "HTTP/1.1 503 Service Unavailable",
    "connection: close",
    `retry-after: ${retryAfterSeconds}`,
    `x-request-id: ${randomUUID()}`,
    "content-type: text/plain",
    `content-length: ${body.length}`,
    "",
    body,
  ].join("\r\n");
}

/** RFC 9113, sections 6.5 and 6.8: SETTINGS, with which a server must begin, and that no stream will be answered. */
function goAway(): Buffer {
  const text = Buffer.from(advice);
  const payload = Buffer.alloc(8 + text.length);
  payload.writeUInt32BE(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 4);
  text.copy(payload, 8);
  return Buffer.concat([frameHead(4, 0), frameHead(7, payload.length), payload]);
}

function frameHead(type: number, length: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  return head;
}
