import type { TestContext } from "node:test";
import { openRawSocket, type RawSocket } from "./raw-socket.ts";

const types = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6 } as const;
const endHeaders = 4;

/** Flag of the frame that ends a request. */
export const endStream = 1;

/** An HTTP/2 connection that sends exactly the frames it is told to, acknowledges nothing and grants no window. */
export interface FrameConnection {
  /** Begins a POST request. */
  headers(streamId: number, fields: Readonly<Record<string, string>>, flags?: number): void;
  data(streamId: number, bytes: string | Uint8Array, flags?: number): void;
  reset(streamId: number, code: number): void;
  /** Waits until the server has read all that was sent before. */
  flushed(): Promise<void>;
  /** Goes away without a word. */
  leave(): void;
}

/** Connects, until the test ends. */
export function openFrameConnection(t: TestContext, url: string): FrameConnection {
  const socket: RawSocket = openRawSocket(t, url);
  let pings = 0;
  socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.send(frame(types.settings, 0, 0, Buffer.alloc(0)));
  return {
    headers: (streamId, fields, flags = 0) =>
      socket.send(
        frame(
          types.headers,
          flags | endHeaders,
          streamId,
          encodeFields({ ":method": "POST", ":scheme": "http", ":authority": "probe.test", ...fields }),
        ),
      ),
    data: (streamId, bytes, flags = 0) => socket.send(frame(types.data, flags, streamId, Buffer.from(bytes))),
    reset(streamId, code) {
      const payload = Buffer.alloc(4);
      payload.writeUInt32BE(code);
      socket.send(frame(types.resetStream, 0, streamId, payload));
    },
    async flushed() {
      const text = `ping-${String(pings++).padStart(3, "0")}`;
      socket.send(frame(types.ping, 0, 0, Buffer.from(text)));
      await socket.received(new RegExp(text));
    },
    leave: socket.leave,
  };
}

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK's plainest form (RFC 7541, section 6.2.2): literals, no table, no Huffman code. */
function encodeFields(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).flatMap((field) => [Buffer.of(0), ...field.map(encodeText)].flat()),
  );
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > 126) throw new Error("longer texts take a longer length");
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}
