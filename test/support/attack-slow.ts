import { once } from "node:events";
import type net from "node:net";
import { connectTo } from "./fuzz-client.ts";
import { callFields, fieldBlock, frame, frameType, preface } from "./fuzz-frames.ts";

const dripEveryMs = 200;

const start = Buffer.concat([preface, frame(frameType.settings, 0, 0, Buffer.alloc(0))]);
const block = fieldBlock(callFields("/users.v1.UserService/GetUser", "application/grpc"));
const header = "POST /users.v1.UserService/GetUser HTTP/1.1\r\nhost: attack.test\r\n";

/** Connects, says a part and drips the rest, until the server ends the connection. */
async function drip(url: string, opening: Uint8Array | string, rest: Uint8Array | string): Promise<string> {
  const socket: net.Socket = connectTo(url);
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString("latin1");
  });
  if (opening.length > 0) socket.write(opening);
  let at = 0;
  const drips = setInterval(() => {
    if (at < rest.length && socket.writable) socket.write(rest.slice(at, ++at));
  }, dripEveryMs);
  await untilClosed(socket);
  clearInterval(drips);
  return answer.slice(0, 200);
}

/** Not `once`, which a reset would reject. */
function untilClosed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** Connections that keep the server waiting. Each resolves when the server has ended it. */
export const slow = {
  silent: (url: string) => drip(url, "", ""),
  "begins a preface": (url: string) => drip(url, "PR", ""),
  "preface only": (url: string) => drip(url, preface, ""),
  "drips a preface": (url: string) => drip(url, "", preface),
  "drips a header over HTTP/1.1": (url: string) => drip(url, header, "x-filler: y\r\n".repeat(100)),
  "drips a body over HTTP/1.1": (url: string) =>
    drip(url, `${header}content-type: application/proto\r\ncontent-length: 1000\r\n\r\n`, "a".repeat(1_000)),
  "begins a body over HTTP/1.1": (url: string) =>
    drip(url, `${header}content-type: application/proto\r\ncontent-length: 1000\r\n\r\na`, ""),
  "drips a header over HTTP/2": (url: string) =>
    drip(
      url,
      Buffer.concat([start, frame(frameType.headers, 0, 1, block)]),
      frame(frameType.continuation, 0, 1, Buffer.alloc(1_000)),
    ),
  "begins a frame over HTTP/2": (url: string) =>
    drip(url, Buffer.concat([start, frame(frameType.headers, 4, 1, block).subarray(0, 20)]), ""),
};

/** Connects and leaves at once, over and over. */
export const visits = {
  async brief(url: string): Promise<number> {
    let visited = 0;
    for (; visited < 1_000; visited++) {
      const socket = connectTo(url);
      await Promise.race([once(socket, "connect"), untilClosed(socket)]);
      const closed = untilClosed(socket);
      if (visited % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
      await closed;
    }
    return visited;
  },
};

/** Lets no answer through: the server may send nothing on its streams. */
export const closedWindows = {
  async streams(url: string): Promise<number> {
    const socket = connectTo(url);
    const noWindow = Buffer.of(0, 4, 0, 0, 0, 0);
    const list = fieldBlock(callFields("/users.v1.UserService/ListUsers", "application/grpc"));
    socket.write(Buffer.concat([preface, frame(frameType.settings, 0, 0, noWindow)]));
    const empty = Buffer.alloc(5);
    let resets = 0;
    let rest: Buffer = Buffer.alloc(0);
    const { promise: allReset, resolve } = Promise.withResolvers<void>();
    socket.on("data", (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        if (rest.readUInt8(3) === frameType.resetStream && rest.readUInt32BE(9) === enhanceYourCalm) resets++;
        rest = rest.subarray(9 + rest.readUIntBE(0, 3));
      }
      if (resets === streamsAtOnce) resolve();
    });
    for (let id = 1; id < 2 * streamsAtOnce; id += 2) {
      socket.write(
        Buffer.concat([frame(frameType.headers, 4, id, list), frame(frameType.data, 1, id, empty)]),
      );
    }
    await Promise.race([allReset, untilClosed(socket)]);
    socket.destroy();
    return resets;
  },
};

/** As many as a connection may have. */
const streamsAtOnce = 100;

const enhanceYourCalm = 11;
