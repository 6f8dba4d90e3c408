import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { describe, type TestContext, test } from "node:test";
import { eventually, openConnectionHost } from "./support/connection-host.ts";
import { frame, frameType } from "./support/fuzz-frames.ts";
import { callPath } from "./support/probe-service.ts";
import { connectRaw, envelope } from "./support/raw-http.ts";
import { createSlowService, listenPath } from "./support/slow-service.ts";
import {
  beginHttp2,
  callHeaders,
  endStream,
  goAwayOf,
  openWirePeer,
  type WirePeer,
} from "./support/wire-peer.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = http2.constants;
const ask = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/** A connection over HTTP/1.1 that has been answered and is idle. */
async function openIdleHttp1(t: TestContext, url: string): Promise<WirePeer> {
  const peer = await openWirePeer(t, url, { alpn: ["http/1.1"] });
  peer.send(ask);
  await peer.until("the answer", () => peer.text.includes('{"status":"ok"}'));
  return peer;
}

/** A connection over HTTP/2 whose stream lasts. */
async function openBusyHttp2(t: TestContext, url: string): Promise<WirePeer> {
  const peer = await openWirePeer(t, url, { alpn: ["h2"] });
  peer.send(beginHttp2(), callHeaders(1, listenPath, "application/grpc+json"));
  peer.send(frame(frameType.data, endStream, 1, envelope('""')));
  await peer.until("the stream", () => peer.frames(frameType.data).length > 0);
  return peer;
}

/** A connection over HTTP/2 that has been answered and is idle. */
async function openIdleHttp2(t: TestContext, url: string): Promise<WirePeer> {
  const peer = await openWirePeer(t, url, { alpn: ["h2"] });
  peer.send(beginHttp2(), callHeaders(1, callPath, "application/grpc+json"));
  peer.send(frame(frameType.data, endStream, 1, envelope("{}")));
  await peer.until("the answer", () => peer.frames(frameType.headers).length === 2);
  return peer;
}

for (const tls of [false, true]) {
  describe(`MAX_CONNECTIONS, ${tls ? "in TLS" : "in cleartext"}:`, () => {
    test("what has been idle for longest makes room, what is busy stays", async (t) => {
      const { routes } = createSlowService();
      const host = await openConnectionHost(t, { tls, routes, connections: { maxConnections: 3 } });
      const busy = await openBusyHttp2(t, host.url);
      const first = await openIdleHttp2(t, host.url);
      const second = await openIdleHttp1(t, host.url);
      const third = await openIdleHttp1(t, host.url);
      await first.ended();
      assert.equal(goAwayOf(first)?.code, NGHTTP2_NO_ERROR);
      await openIdleHttp2(t, host.url);
      await second.ended();
      assert.deepEqual([busy.socket.closed, third.socket.closed], [false, false]);
      const { open, evicted, refused } = host.connections();
      assert.deepEqual(
        { open, evicted, refused },
        {
          open: { unknown: 0, http1: 1, http2: 2 },
          evicted: 2,
          refused: 0,
        },
      );
    });

    test("where all are busy, a new one is told so in what it speaks, and let in when there is room", async (t) => {
      const { routes } = createSlowService();
      const host = await openConnectionHost(t, { tls, routes, connections: { maxConnections: 2 } });
      const busy = [await openBusyHttp2(t, host.url), await openBusyHttp2(t, host.url)];
      const http1 = await openWirePeer(t, host.url, { alpn: ["http/1.1"] });
      http1.send(ask);
      await http1.ended();
      assert.match(http1.text, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
      assert.match(http1.text, /\r\nretry-after: 5\r\n/);
      assert.match(
        http1.text,
        /\r\n\r\nall connections that this server takes are busy: wait, connect again/,
      );
      const http2Peer = await openWirePeer(t, host.url, { alpn: ["h2"] });
      http2Peer.send(beginHttp2(), callHeaders(1, callPath, "application/grpc+json"));
      await http2Peer.until("GOAWAY", () => goAwayOf(http2Peer) !== undefined);
      assert.equal(goAwayOf(http2Peer)?.code, NGHTTP2_ENHANCE_YOUR_CALM);
      assert.equal(http2Peer.frames()[0]?.type, frameType.settings);
      await http2Peer.ended();
      assert.equal(host.connections().refused, 2);
      busy[0]?.socket.destroy();
      await eventually("room", () => host.connections().open.http2 === 1);
      await openIdleHttp1(t, host.url);
      assert.equal(busy[1]?.socket.closed, false);
    });
  });
}

test("a real client is told that there is no room, and why", async (t) => {
  const { routes } = createSlowService();
  const host = await openConnectionHost(t, { routes, connections: { maxConnections: 1 } });
  await openBusyHttp2(t, host.url);
  const response = await fetch(`${host.url}/healthz`);
  assert.equal(response.status, 503);
  assert.match(await response.text(), /wait, connect again/);
  const session = http2.connect(host.url);
  session.on("error", () => {});
  const [code] = await once(session, "goaway");
  assert.equal(code, NGHTTP2_ENHANCE_YOUR_CALM);
});

test("connections that are refused and say nothing are not kept", async (t) => {
  const { routes } = createSlowService();
  const connections = { maxConnections: 1, headerTimeoutMs: 200 };
  const host = await openConnectionHost(t, { routes, connections });
  const busy = await openBusyHttp2(t, host.url);
  const sockets = await openSilent(t, host.url, 200);
  await eventually("their end", () => sockets.every((socket) => socket.closed));
  assert.equal(host.connections().refused, 200);
  assert.equal(busy.socket.closed, false);
});

test("half-open sockets by the thousand keep no client out, neither a new one nor one that is there", async (t) => {
  const { routes } = createSlowService();
  const host = await openConnectionHost(t, { routes, connections: { maxConnections: 100 } });
  const busy = await openBusyHttp2(t, host.url);
  let isFlooded = false;
  const flood = openSilent(t, host.url, 3_000).then((sockets) => {
    isFlooded = true;
    return sockets;
  });
  const session = http2.connect(host.url);
  t.after(() => session.destroy());
  let calls = 0;
  while (!isFlooded || calls < 20) {
    const stream = session.request({ ":path": "/healthz" });
    const [headers] = await once(stream, "response");
    assert.equal(headers[":status"], 200);
    stream.resume();
    const response = await fetch(`${host.url}/healthz`, { headers: { connection: "close" } });
    assert.equal(response.status, 200);
    await response.body?.cancel();
    calls++;
  }
  await flood;
  const { evicted, refused, open } = host.connections();
  assert.ok(evicted > 2_000, `${evicted} evicted`);
  assert.equal(refused, 0);
  assert.ok(open.unknown + open.http1 + open.http2 <= 100);
  assert.equal(busy.socket.closed, false);
  const warnings = host.log.lines.filter(({ msg }) => msg.startsWith("MAX_CONNECTIONS"));
  assert.equal(warnings.length, 1, "one warning a minute");
});

/** Connections that say nothing. */
async function openSilent(t: TestContext, url: string, count: number): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let at = 0; at < count; at++) {
    const socket = connectRaw(url);
    socket.on("error", () => {}).resume();
    sockets.push(socket);
    await new Promise<void>((resolve) => {
      for (const event of ["connect", "close"]) socket.once(event, () => resolve());
    });
  }
  return sockets;
}
