import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { useAttackTarget } from "./support/attack-target.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";

const rpc = "/users.v1.UserService/GetUser";
const head = `POST ${rpc} HTTP/1.1\r\nhost: attack.test\r\ncontent-type: application/json\r\n`;
const body = "{}";
const hidden = `GET /hidden HTTP/1.1\r\nhost: attack.test\r\n\r\n`;

/** Requests whose end two readers may see in two places: none of them gets past the first reader. */
const smuggled = {
  "both lengths": `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "two lengths": `${head}content-length: 2\r\ncontent-length: 3\r\n\r\n${body}${hidden}`,
  "a list of lengths": `${head}content-length: 2, 2\r\n\r\n${body}${hidden}`,
  "a signed length": `${head}content-length: +2\r\n\r\n${body}${hidden}`,
  "a hexadecimal length": `${head}content-length: 0x2\r\n\r\n${body}${hidden}`,
  "an unknown coding": `${head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
  "a coding behind chunked": `${head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
  "a space before the colon": `${head}content-length : 2\r\n\r\n${body}${hidden}`,
  "a folded field": `${head}x: y\r\n content-length: 2\r\n\r\n${body}${hidden}`,
  "bare line feeds": `${head}transfer-encoding: chunked\n\n0\n\n${hidden}`,
  "a bare carriage return": `${head}x: y\rcontent-length: 2\r\n\r\n${body}${hidden}`,
  "a chunk's size that is none": `${head}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n${hidden}`,
  "a chunk's size beyond all numbers": `${head}transfer-encoding: chunked\r\n\r\n${"f".repeat(17)}\r\n`,
  "a chunk that is longer than it says": `${head}transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${hidden}`,
};

/** A hundred a second would be many; these come at once. */
const pipelined = 10_000;

describe("over HTTP/1.1, and nobody else notices:", () => {
  const target = useAttackTarget();

  for (const [name, bytes] of Object.entries(smuggled)) {
    test(`no request is smuggled behind ${name}`, async (t) => {
      const answer = await target.survives(async (url) => {
        const socket = openRawSocket(t, url);
        socket.send(bytes);
        return socket.closed();
      });
      assert.match(answer, /^(?:$|HTTP\/1\.1 400 )/);
      assert.doesNotMatch(answer, /hidden/);
    });
  }

  test(`${pipelined} requests that are sent without waiting are answered, each`, async (t) => {
    const request = Buffer.from("GET /healthz HTTP/1.1\r\nhost: attack.test\r\n\r\n");
    const last = Buffer.from("GET /healthz HTTP/1.1\r\nhost: attack.test\r\nconnection: close\r\n\r\n");
    const text = await target.survives(async (url) => {
      const socket = openRawSocket(t, url);
      socket.send(Buffer.concat([...Array<Buffer>(pipelined - 1).fill(request), last]));
      return socket.closed();
    });
    assert.equal(text.match(/HTTP\/1\.1 200 OK\r\n/g)?.length, pipelined);
  });

  test("what asks for another protocol gets none", async (t) => {
    for (const fields of [
      "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
    ]) {
      const answer = await target.survives(async (url) => {
        const socket = openRawSocket(t, url);
        socket.send(`GET /healthz HTTP/1.1\r\nhost: attack.test\r\n${fields}\r\n`);
        return socket.received(/\r\n\r\n/);
      });
      assert.doesNotMatch(answer, /^HTTP\/1\.1 101 /);
    }
  });

  test("an expectation that nobody meets, a tunnel and a proxy's target come to an answer", async (t) => {
    for (const request of [
      `${head}expect: everything\r\ncontent-length: 2\r\nconnection: close\r\n\r\n`,
      "CONNECT attack.test:443 HTTP/1.1\r\nhost: attack.test\r\n\r\n",
      http1Request(rpc, "application/json", body, {
        target: `http://other.test${rpc}`,
        more: "connection: close\r\n",
      }),
    ]) {
      const answer = await target.survives(async (url) => {
        const socket = openRawSocket(t, url);
        socket.send(request);
        return socket.closed();
      });
      assert.match(answer, /^(?:$|HTTP\/1\.1 [45]\d\d )/);
    }
  });
});
