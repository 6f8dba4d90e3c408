import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { openConnectionHost } from "./support/connection-host.ts";
import { callFields, fieldBlock, frame, frameType, preface } from "./support/fuzz-frames.ts";
import { envelope } from "./support/raw-http.ts";
import { createSlowService, tellPath } from "./support/slow-service.ts";
import { beginHttp2, endHeaders, endStream, goAwayOf, openWirePeer } from "./support/wire-peer.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR, NGHTTP2_SETTINGS_TIMEOUT } = http2.constants;
const connections = { headerTimeoutMs: 200 };

for (const tls of [false, true]) {
  const http11 = tls ? { alpn: ["http/1.1"] } : {};
  const h2 = tls ? { alpn: ["h2"] } : {};

  describe(`HEADER_TIMEOUT ends, ${tls ? "in TLS" : "in cleartext"},`, () => {
    test("a connection that says nothing", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url);
      await peer.ended();
      assert.equal(peer.text, "");
      assert.equal(host.connections().endedBy.first_bytes, 1);
    });

    test("an HTTP/1.1 header that drips, with 408", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url, http11);
      peer.send("GET /healthz HTTP/1.1\r\nhost: x\r\n");
      await peer.ended(() => "x: y\r\n");
      assert.match(peer.text, /^HTTP\/1\.1 408 Request Timeout\r\n/s);
      assert.equal(host.connections().endedBy.header, 1);
    });

    test("the second header on an HTTP/1.1 connection, too", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url, http11);
      peer.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\n");
      await peer.ended(() => "x: y\r\n");
      assert.match(peer.text, /^HTTP\/1\.1 200 OK\r\n.*HTTP\/1\.1 408 Request Timeout\r\n/s);
    });

    test("no HTTP/1.1 request whose header has come: its body may last", async (t) => {
      const host = await openConnectionHost(t, { tls, connections, routes: createSlowService().routes });
      const peer = await openWirePeer(t, host.url, http11);
      const chunk = (bytes: Buffer): string =>
        `${bytes.length.toString(16)}\r\n${bytes.toString("latin1")}\r\n`;
      peer.send(
        `POST ${tellPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+json\r\ntransfer-encoding: chunked\r\n\r\n`,
        chunk(envelope('"one"')),
      );
      for (let round = 0; round < 2; round++) {
        const late = await openWirePeer(t, host.url, http11);
        late.send("GET ");
        await late.ended();
      }
      peer.send(`${chunk(envelope('"two"'))}0\r\n\r\n`);
      await peer.until("the answer", () => peer.text.includes('"2"'));
    });

    test("a preface that drips", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url, h2);
      let at = 4;
      peer.send(preface.subarray(0, at));
      await peer.ended(() => preface.subarray(at, Math.min(++at, preface.length - 1)));
      assert.equal(goAwayOf(peer)?.code, NGHTTP2_SETTINGS_TIMEOUT);
      assert.equal(host.connections().endedBy.settings, 1);
    });

    test("an HTTP/2 connection that sends its preface and no SETTINGS", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url, h2);
      peer.send(preface);
      await peer.ended();
      assert.deepEqual(goAwayOf(peer), {
        code: NGHTTP2_SETTINGS_TIMEOUT,
        text: "no preface and SETTINGS in time: send them first, at once",
      });
    });

    test("a HEADERS frame that drips", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const peer = await openWirePeer(t, host.url, h2);
      const field = Buffer.concat([Buffer.of(0), Buffer.from("\u0001x\u0001y")]);
      peer.send(beginHttp2(), frame(frameType.headers, endHeaders | endStream, 1, field, 16_000));
      await peer.ended(() => field);
      assert.deepEqual(goAwayOf(peer), {
        code: NGHTTP2_ENHANCE_YOUR_CALM,
        text: "a header took too long: send it without pauses",
      });
      assert.equal(host.connections().endedBy.header, 1);
    });

    test("a header whose CONTINUATION drips, or does not come", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const block = fieldBlock(callFields("/nowhere", "application/grpc"));
      for (const drip of [undefined, () => Buffer.of(0)]) {
        const peer = await openWirePeer(t, host.url, h2);
        peer.send(beginHttp2(), frame(frameType.headers, endStream, 1, block));
        if (drip !== undefined)
          peer.send(frame(frameType.continuation, endHeaders, 1, Buffer.alloc(0), 9_000));
        await peer.ended(drip);
        assert.equal(goAwayOf(peer)?.code, NGHTTP2_ENHANCE_YOUR_CALM);
      }
    });

    test("no connection on which streams are refused unseen, if it answers pings", async (t) => {
      const host = await openConnectionHost(t, { tls, connections });
      const session = http2.connect(host.url, { rejectUnauthorized: false });
      t.after(() => session.destroy());
      // A request without a path is refused by nghttp2: Node never hears of it.
      const peer = await openWirePeer(t, host.url, h2);
      peer.send(beginHttp2());
      peer.send(frame(frameType.headers, endHeaders | endStream, 1, fieldBlock([[":method", "POST"]])));
      let answered = 0;
      const answerPings = (): void => {
        for (const { flags, payload } of peer.frames(frameType.ping).slice(answered)) {
          answered++;
          if ((flags & 1) === 0) peer.send(frame(frameType.ping, 1, 0, payload));
        }
      };
      peer.socket.on("data", answerPings);
      await peer.until("a PING for the header that may be on its way", () => answered > 0);
      // Another connection's header that is as late is ended meanwhile; this one is not.
      const late = await openWirePeer(t, host.url, h2);
      late.send(beginHttp2(), frame(frameType.headers, endStream, 1, fieldBlock([])));
      await late.ended();
      peer.send(
        frame(frameType.headers, endHeaders | endStream, 3, fieldBlock(callFields("/", "text/plain"))),
      );
      await peer.until("the answer", () =>
        peer.frames(frameType.headers).some(({ streamId }) => streamId === 3),
      );
      assert.equal(goAwayOf(peer)?.code ?? NGHTTP2_NO_ERROR, NGHTTP2_NO_ERROR);
    });
  });
}

test("a TLS handshake that is not done in HEADER_TIMEOUT ends", async (t) => {
  const host = await openConnectionHost(t, { tls: true, connections });
  const peer = await openWirePeer(t, host.url.replace("https", "http"));
  // The head of a ClientHello that never comes.
  peer.send(Buffer.from([22, 3, 1, 1, 0]));
  await peer.ended();
  assert.equal(host.connections().endedBy.first_bytes, 1);
});
