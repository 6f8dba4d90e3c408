import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { frame, frameType, preface } from "./fuzz-frames.ts";

/** What came of an attacker's connection. */
export interface ConnectionOutcome {
  /** How it ended: by the server, by itself when all was sent, or because the server reads no more of it. */
  readonly end: "ended" | "survived" | "held";
  readonly sentBytes: number;
  /** Frames that the server sent, by their type. */
  readonly frames: Readonly<Record<number, number>>;
  /** The code of its GOAWAY. */
  readonly goAwayCode: number | undefined;
  /** The codes of the resets that it sent, and how many there were of each. */
  readonly resetCodes: Readonly<Record<number, number>>;
}

/** A TCP connection that sends what its owner likes, as fast as the server takes it. */
export interface AttackConnection {
  /** Sends, and waits until it can take more. False: it cannot. */
  send(bytes: Uint8Array): Promise<boolean>;
  /** Waits until the server has sent so many frames of a type, or has ended the connection. */
  until(type: number, count: number): Promise<void>;
  /** Waits until the server has answered everything, or has ended the connection; then leaves. */
  finish(): Promise<ConnectionOutcome>;
  /** Waits for the server to end the connection; leaves, if it does not. */
  ended(): Promise<ConnectionOutcome>;
}

/** A server that has not taken a byte for so long reads no more. */
const patienceMs = 10_000;

/** Longer than the guard's period, on a busy machine. */
const endPatienceMs = 15_000;

/** The last frame of an attack: its answer says that all before it has been read. */
const lastPing = Buffer.from("the last");

/** Connects. @param reads whether what the server sends is read at all */
export async function openAttackConnection(
  url: string,
  { reads = true, http2 = true }: { reads?: boolean; http2?: boolean } = {},
): Promise<AttackConnection> {
  const { hostname, port, protocol } = new URL(url);
  const address = { host: hostname, port: Number(port) };
  const socket =
    protocol === "https:"
      ? tls.connect({ ...address, rejectUnauthorized: false, ALPNProtocols: ["h2"] })
      : net.connect(address);
  socket.on("error", () => {});
  await once(socket, protocol === "https:" ? "secureConnect" : "connect");
  const answers = readFrames();
  if (reads) {
    socket.on("data", http2 ? answers.feed : () => {});
  } else {
    socket.pause();
  }
  let end: ConnectionOutcome["end"] = "survived";
  const ended = new Promise<void>((resolve) => {
    socket.once("close", () => {
      if (end === "survived") end = "ended";
      resolve();
    });
  });
  let sentBytes = 0;

  async function send(bytes: Uint8Array): Promise<boolean> {
    if (end !== "survived") return false;
    sentBytes += bytes.length;
    if (socket.write(bytes)) return true;
    const drained = new Promise<void>((resolve) => socket.once("drain", resolve));
    if (!(await within(Promise.race([drained, ended]), patienceMs)) && end === "survived") {
      end = "held";
    }
    return end === "survived";
  }

  function leave(): ConnectionOutcome {
    const outcome = { end, sentBytes, ...answers.seen() };
    end = "held";
    socket.destroy();
    return outcome;
  }

  if (http2) await send(Buffer.concat([preface, frame(frameType.settings, 0, 0, Buffer.alloc(0))]));
  return {
    send,
    async until(type, count) {
      while (end === "survived" && (answers.seen().frames[type] ?? 0) < count) {
        const more = new Promise<void>((resolve) => socket.once("data", () => resolve()));
        if (!(await within(Promise.race([more, ended]), patienceMs)) && end === "survived") end = "held";
      }
    },
    async finish() {
      if (http2 && reads && (await send(frame(frameType.ping, 0, 0, lastPing)))) {
        await within(Promise.race([answers.answeredLast, ended]), 10_000);
      }
      return leave();
    },
    async ended() {
      // Without reading on, nobody would see the end.
      if (!reads) socket.resume();
      await within(ended, endPatienceMs);
      return leave();
    },
  };
}

/** Counts the frames of a server. */
function readFrames() {
  const frames: Record<number, number> = {};
  const resetCodes: Record<number, number> = {};
  let goAwayCode: number | undefined;
  let rest: Buffer = Buffer.alloc(0);
  const { promise: answeredLast, resolve: answerLast } = Promise.withResolvers<void>();
  return {
    answeredLast,
    seen: () => ({ frames, goAwayCode, resetCodes }),
    feed(chunk: Buffer): void {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      while (rest.length - at >= 9 && rest.length - at >= 9 + rest.readUIntBE(at, 3)) {
        const type = rest.readUInt8(at + 3);
        const payload = rest.subarray(at + 9, at + 9 + rest.readUIntBE(at, 3));
        frames[type] = (frames[type] ?? 0) + 1;
        if (type === frameType.goAway) goAwayCode = payload.readUInt32BE(4);
        if (type === frameType.ping && payload.equals(lastPing)) answerLast();
        if (type === frameType.resetStream) {
          const code = payload.readUInt32BE(0);
          resetCodes[code] = (resetCodes[code] ?? 0) + 1;
        }
        at += 9 + payload.length;
      }
      rest = rest.subarray(at);
    },
  };
}

async function within(event: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const isIn = await Promise.race([event.then(() => true), late]);
  clearTimeout(timer);
  return isIn;
}
