import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { type ConnectionHost, eventually, openConnectionHost } from "./support/connection-host.ts";
import { frame, frameType } from "./support/fuzz-frames.ts";
import { callPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { createSlowService } from "./support/slow-service.ts";
import {
  beginHttp2,
  callHeaders,
  endStream,
  noWindow,
  openWirePeer,
  type WirePeer,
} from "./support/wire-peer.ts";

/** More than the kernel holds of a connection. */
const large = "x".repeat(24 * 1_024 * 1_024);
const documents = [
  { path: "/large", answer: () => ({ body: large, headers: { "content-type": "text/plain" } }) },
];

const callBody = JSON.stringify({ a: large });
const largeCall = `POST ${callPath} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${callBody.length}\r\n\r\n${callBody}`;
const largeDocument = "GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

for (const lane of ["on", "off"] as const) {
  for (const tls of [false, true]) {
    describe(`STREAM_STALL_TIMEOUT, ${tls ? "in TLS" : "in cleartext"}, lane ${lane}:`, () => {
      const open = (t: TestContext, streamStallTimeoutMs = 200): Promise<ConnectionHost> =>
        openConnectionHost(t, {
          lane,
          tls,
          streamStallTimeoutMs,
          maxMessageBytes: 64 * 1_024 * 1_024,
          routes: createSlowService().routes,
          documents,
        });
      const openHttp2 = async (t: TestContext, url: string): Promise<WirePeer> => {
        const peer = await openWirePeer(t, url, tls ? { alpn: ["h2"] } : {});
        peer.send(beginHttp2(noWindow));
        return peer;
      };
      const resetOf = (peer: WirePeer): number | undefined =>
        peer.frames(frameType.resetStream)[0]?.payload.readUInt32BE(0);

      test("an HTTP/2 client without a window holds no unary answer", async (t) => {
        const host = await open(t);
        const peer = await openHttp2(t, host.url);
        peer.send(callHeaders(1, callPath, "application/grpc+json"));
        peer.send(frame(frameType.data, endStream, 1, envelope('{"a":"b"}')));
        await peer.until("the reset", () => resetOf(peer) !== undefined);
        assert.equal(resetOf(peer), http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
        assert.equal(host.connections().stalledResponses, 1);
      });

      test("an HTTP/2 client without a window holds no error, and no answer that is no call's", async (t) => {
        const host = await open(t);
        for (const path of [callPath, "/nowhere"]) {
          const peer = await openHttp2(t, host.url);
          peer.send(callHeaders(1, path, "application/json"));
          peer.send(frame(frameType.data, endStream, 1, Buffer.from("{")));
          await peer.until("the reset", () => resetOf(peer) !== undefined);
          assert.equal(resetOf(peer), http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, path);
        }
      });

      test("an HTTP/1.1 client that does not read holds no answer, be it a call's or not", async (t) => {
        const host = await open(t);
        for (const [at, request] of [largeCall, largeDocument].entries()) {
          const peer = await openWirePeer(t, host.url, { reads: false, alpn: ["http/1.1"] });
          peer.send(request);
          await eventually("the answer to be cut off", () => host.connections().stalledResponses === at + 1);
          await eventually("the connection's end", () => host.connections().open.http1 === 0);
        }
      });

      test("an HTTP/1.1 client that reads slowly gets all of it", async (t) => {
        // It takes longer than that; the kernel passes on a megabyte and more at a time.
        const host = await open(t, 1_000);
        for (const request of [largeCall, largeDocument]) {
          const peer = await openWirePeer(t, host.url, { reads: false, alpn: ["http/1.1"] });
          peer.send(request);
          let received = 0;
          let pausedAt = 0;
          peer.socket.on("data", (bytes: Buffer) => {
            received += bytes.length;
            if (received - pausedAt < 131_072) return;
            pausedAt = received;
            peer.socket.pause();
            setTimeout(() => peer.socket.resume(), 5);
          });
          await peer.ended();
          assert.ok(received > large.length, `${received} of ${large.length} bytes`);
        }
        assert.equal(host.connections().stalledResponses, 0);
      });
    });
  }
}
