import http2 from "node:http2";
import net from "node:net";
import { text } from "node:stream/consumers";

/** What a server answered to a request over HTTP/2. */
export interface Http2Answer {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: string;
}

/** Sends one request over a cleartext HTTP/2 connection of its own. */
export async function requestHttp2(
  url: string,
  path: string,
  headers: http2.OutgoingHttpHeaders,
  body: Uint8Array | string = "",
): Promise<Http2Answer> {
  const session = http2.connect(url);
  try {
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    let responseHeaders: Http2Answer["headers"] = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on("response", (received) => {
      responseHeaders = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.end(body);
    return { body: await text(stream), headers: responseHeaders, trailers };
  } finally {
    session.close();
  }
}

/** A message as gRPC, gRPC-Web and Connect streams frame it. */
export function envelope(message: Uint8Array | string, flags = 0): Buffer {
  const bytes = Buffer.from(message);
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt8(flags, 0);
  frame.writeUInt32BE(bytes.length, 1);
  bytes.copy(frame, 5);
  return frame;
}

/** The messages that a body holds. */
export function splitEnvelopes(body: Uint8Array): { flags: number; data: Buffer }[] {
  const bytes = Buffer.from(body);
  const frames: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push({ flags: bytes.readUInt8(at), data: bytes.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}

/** A plain TCP connection to the server. */
export function connectRaw(url: string): net.Socket {
  const { hostname, port } = new URL(url);
  return net.connect(Number(port), hostname);
}
