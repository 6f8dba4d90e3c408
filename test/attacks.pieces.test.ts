import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { useAttackTarget } from "./support/attack-target.ts";
import { openRawSocket } from "./support/raw-socket.ts";

/** Bytes of a message, each of which comes in a chunk of its own. */
const pieces = 300_000;

/** What claims four megabytes. */
const claim = Buffer.from([0, 0, 0x3f, 0xff, 0xff]);

describe("a request that comes a byte at a time is held in about as much memory as it has bytes:", () => {
  const target = useAttackTarget();

  for (const [name, rpc, type, start] of [
    ["a bare message", "users.v1.UserService/GetUser", "application/proto", Buffer.alloc(0)],
    ["one in an envelope", "users.v1.UserService/GetUser", "application/grpc-web", claim],
    [
      "one for connect-es",
      "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "application/grpc-web",
      claim,
    ],
  ] as const) {
    test(name, async (t) => {
      const answer = await target.survives(async (url) => {
        const socket = openRawSocket(t, url);
        socket.send(`POST /${rpc} HTTP/1.1\r\nhost: attack.test\r\ncontent-type: ${type}\r\n`);
        socket.send("transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        for (const byte of start) socket.send(chunkOf(byte));
        socket.send(Buffer.concat([Buffer.alloc(6 * pieces, chunkOf(0x61)), Buffer.from("0\r\n\r\n")]));
        return socket.closed();
      });
      assert.match(answer, /^HTTP\/1\.1 (?:400 |200 [\s\S]*grpc-status: 3\r\n)/);
    });
  }
});

function chunkOf(byte: number): Buffer {
  return Buffer.concat([Buffer.from("1\r\n"), Buffer.of(byte), Buffer.from("\r\n")]);
}
