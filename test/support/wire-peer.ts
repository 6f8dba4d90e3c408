import net from "node:net";
import type { TestContext } from "node:test";
import tls from "node:tls";
import { cleanUpAfter } from "./clean-up.ts";
import { callFields, fieldBlock, frame, frameType, preface } from "./fuzz-frames.ts";
import { withDeadline } from "./with-deadline.ts";

/** A frame of HTTP/2, as it came. */
export interface WireFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A connection, in cleartext or TLS, whose bytes are all the test's own. */
export interface WirePeer {
  readonly socket: net.Socket;
  /** All that has come, as latin1. */
  readonly text: string;
  send(...bytes: readonly (string | Uint8Array)[]): void;
  /** Waits until what has come satisfies. */
  until(what: string, isSo: () => boolean): Promise<void>;
  /** Waits until the server has ended the connection, while sending these bytes again and again. */
  ended(drip?: () => string | Uint8Array): Promise<void>;
  /** The frames that have come, whole. */
  frames(type?: number): WireFrame[];
}

const dripEveryMs = 20;

/** What is opened how: `alpn` as the client offers it, which makes it TLS. */
export interface WireOptions {
  readonly alpn?: readonly string[] | undefined;
  /** Whether it reads what comes. */
  readonly reads?: boolean;
}

/** Connects, until the test ends. */
export async function openWirePeer(
  t: TestContext,
  url: string,
  { alpn = [], reads = true }: WireOptions = {},
): Promise<WirePeer> {
  const { hostname: host, port, protocol } = new URL(url);
  const isTls = protocol === "https:";
  const socket: net.Socket = isTls
    ? tls.connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: [...alpn] })
    : net.connect(Number(port), host);
  cleanUpAfter(t, () => void socket.destroy());
  socket.on("error", () => {});
  // Not `once`, which an error would fail: a reset is an end, too.
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  // Also where the server ends it before hands are shaken.
  const ready = new Promise<void>((resolve) =>
    socket.once(isTls ? "secureConnect" : "connect", () => resolve()),
  );
  await Promise.race([ready, closed]);
  let received = Buffer.alloc(0);
  if (reads) {
    socket.on("data", (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
    });
  }

  return {
    socket,
    get text() {
      return received.toString("latin1");
    },
    send: (...bytes) => {
      for (const part of bytes) socket.write(part);
    },
    async until(what, isSo) {
      while (!isSo()) {
        if (socket.closed) throw new Error(`the connection has closed before ${what}`);
        const more = new Promise<void>((resolve) => socket.once("data", () => resolve()));
        await withDeadline(what, Promise.race([more, closed]));
      }
    },
    async ended(drip) {
      const dripping = drip && setInterval(() => socket.writable && socket.write(drip()), dripEveryMs);
      try {
        await withDeadline("the end of the connection", closed);
      } finally {
        clearInterval(dripping);
      }
    },
    frames(type) {
      return splitFrames(received).filter((each) => type === undefined || each.type === type);
    },
  };
}

function splitFrames(bytes: Buffer): WireFrame[] {
  const frames: WireFrame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}

/** The code and the text of a connection's GOAWAY. */
export function goAwayOf(peer: WirePeer): { code: number; text: string } | undefined {
  const [first] = peer.frames(frameType.goAway);
  return first && { code: first.payload.readUInt32BE(4), text: first.payload.subarray(8).toString() };
}

/** How every connection over HTTP/2 begins. @param settings the payload of its SETTINGS */
export function beginHttp2(settings: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([preface, frame(frameType.settings, 0, 0, settings)]);
}

export const endStream = 1;
export const endHeaders = 4;

/** The header of a call, whole. */
export function callHeaders(streamId: number, path: string, contentType: string, flags = 0): Buffer {
  const block = fieldBlock(callFields(path, contentType));
  return frame(frameType.headers, endHeaders | flags, streamId, block);
}

/** SETTINGS_INITIAL_WINDOW_SIZE = 0: whoever sends this takes no bytes of any body. */
export const noWindow = Buffer.from([0, 4, 0, 0, 0, 0]);
