import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { openConnectionHost } from "./support/connection-host.ts";
import { frame, frameType } from "./support/fuzz-frames.ts";
import { envelope } from "./support/raw-http.ts";
import { createSlowService, listenPath } from "./support/slow-service.ts";
import {
  beginHttp2,
  callHeaders,
  endStream,
  goAwayOf,
  openWirePeer,
  type WirePeer,
} from "./support/wire-peer.ts";

const max = 5;

/** Opens streams that last. */
function listenOn(peer: WirePeer, from: number, count: number): void {
  for (let at = 0; at < count; at++) {
    const streamId = from + 2 * at;
    peer.send(callHeaders(streamId, listenPath, "application/grpc+json"));
    peer.send(frame(frameType.data, endStream, streamId, envelope('""')));
  }
}

for (const lane of ["on", "off"] as const) {
  describe(`MAX_STREAMS_PER_CONNECTION, lane ${lane}`, () => {
    test("is kept to against a peer that has not acknowledged it: what is beyond is refused, the rest served", async (t) => {
      const { seen, routes } = createSlowService();
      const host = await openConnectionHost(t, { lane, routes, maxStreamsPerConnection: max });
      const peer = await openWirePeer(t, host.url);
      peer.send(beginHttp2());
      listenOn(peer, 1, 3 * max);
      const resets = (): readonly number[] =>
        peer.frames(frameType.resetStream).map(({ payload }) => payload.readUInt32BE(0));
      await peer.until("the refusals", () => resets().length === 2 * max);
      assert.ok(resets().every((code) => code === http2.constants.NGHTTP2_REFUSED_STREAM));
      const served = (): number => new Set(peer.frames(frameType.data).map(({ streamId }) => streamId)).size;
      await peer.until("the others' messages", () => served() === max);
      assert.equal(seen.begun, max);
    });

    test("is kept to against a peer that has acknowledged it and goes beyond all the same", async (t) => {
      const { seen, routes } = createSlowService();
      const host = await openConnectionHost(t, { lane, routes, maxStreamsPerConnection: max });
      const peer = await openWirePeer(t, host.url);
      peer.send(beginHttp2());
      await peer.until("SETTINGS", () => peer.frames(frameType.settings).length > 0);
      peer.send(frame(frameType.settings, 1, 0, Buffer.alloc(0)));
      listenOn(peer, 1, 3 * max);
      // nghttp2 takes it for a mistake in the protocol (RFC 9113, section 5.1.2, allows that) and ends the connection.
      await peer.ended();
      assert.equal(goAwayOf(peer)?.code, http2.constants.NGHTTP2_PROTOCOL_ERROR);
      assert.ok(seen.begun <= max);
    });
  });
}
