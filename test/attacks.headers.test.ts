import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { inThread, useAttackTarget } from "./support/attack-target.ts";
import { openRawSocket } from "./support/raw-socket.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

describe("a header that is too large is refused, and nobody else notices:", () => {
  const target = useAttackTarget();

  for (const name of ["references", "manyFields"]) {
    test(`over HTTP/2, ${name}`, async () => {
      const outcomes = await target.survives(inThread("./attack-headers.ts", "headerBombs", name));
      for (const { end, resetCodes } of outcomes) {
        assert.equal(end, "ended");
        assert.deepEqual(Object.keys(resetCodes), [String(NGHTTP2_ENHANCE_YOUR_CALM)]);
      }
    });
  }

  for (const [name, fields] of [
    ["one field", `x: ${"y".repeat(1_000_000)}\r\n`],
    ["many fields", "x: y\r\n".repeat(100_000)],
    ["an endless name", "x".repeat(1_000_000)],
  ] as const) {
    test(`over HTTP/1.1, ${name}`, async (t) => {
      const answer = await target.survives(async (url) => {
        const socket = openRawSocket(t, url);
        socket.send(`GET /healthz HTTP/1.1\r\nhost: attack.test\r\n${fields}`);
        return socket.closed();
      });
      assert.match(answer, /^(?:$|HTTP\/1\.1 431 )/);
    });
  }

  test("one that a client may well have, of sixty fields and eight kilobytes, is taken", async (t) => {
    const session = http2.connect(target.url);
    t.after(() => session.destroy());
    const fields = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`x-${index}`, "y".repeat(120)]),
    );
    const stream = session.request({ ":path": "/healthz", ...fields });
    const [headers] = await once(stream, "response");
    assert.equal(headers[":status"], 200);
  });
});
