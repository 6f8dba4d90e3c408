import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { cleanUpAfter } from "./support/clean-up.ts";
import { eventually, openConnectionHost } from "./support/connection-host.ts";
import { frame, frameType } from "./support/fuzz-frames.ts";
import { envelope } from "./support/raw-http.ts";
import { createSlowService, listenPath } from "./support/slow-service.ts";
import { openTcpProxy } from "./support/tcp-proxy.ts";
import { beginHttp2, openWirePeer } from "./support/wire-peer.ts";

const connections = { keepaliveIntervalMs: 150, keepaliveTimeoutMs: 150 };

/** An open stream, which has said that it is there. */
async function openStream(t: TestContext, url: string): Promise<http2.ClientHttp2Stream> {
  const session = http2.connect(url, { rejectUnauthorized: false });
  cleanUpAfter(t, () => session.destroy());
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": listenPath,
    "content-type": "application/grpc+json",
  });
  stream.on("error", () => {});
  stream.end(envelope('""'));
  await once(stream, "data");
  return stream;
}

for (const lane of ["on", "off"] as const) {
  for (const tls of [false, true]) {
    describe(`keepalive, ${tls ? "in TLS" : "in cleartext"}, lane ${lane}:`, () => {
      test("a peer that has vanished is noticed, and the handler of its stream sees it leave", async (t) => {
        const { seen, routes } = createSlowService();
        const host = await openConnectionHost(t, { connections, tls, lane, routes });
        const { port } = new URL(host.url);
        const proxy = await openTcpProxy("127.0.0.1", Number(port));
        cleanUpAfter(t, proxy.close);
        const lasting = await openStream(t, host.url);
        await openStream(t, host.url.replace(port, String(proxy.port)));
        assert.equal(host.connections().open.http2, 2);
        proxy.swallow();
        await eventually("the handler to see it leave", () => seen.left === 1);
        assert.equal(host.connections().endedBy.keepalive, 1);
        assert.equal(host.connections().open.http2, 1);
        // As silent, but there: it answers pings.
        assert.equal(lasting.closed, false);
        assert.deepEqual(seen, { begun: 2, left: 1 });
      });
    });
  }
}

test("a connection that is silent is asked, and one that answers stays", async (t) => {
  const host = await openConnectionHost(t, { connections });
  const [living, dead] = [await openWirePeer(t, host.url), await openWirePeer(t, host.url)];
  for (const peer of [living, dead]) peer.send(beginHttp2());
  const pings = (): number => living.frames(frameType.ping).length;
  let answered = 0;
  living.socket.on("data", () => {
    for (const { payload } of living.frames(frameType.ping).slice(answered)) {
      answered++;
      living.send(frame(frameType.ping, 1, 0, payload));
    }
  });
  await dead.ended();
  assert.equal(dead.frames(frameType.ping).length, 1);
  const before = pings();
  await living.until("more pings", () => pings() > before + 2);
  assert.equal(living.socket.closed, false);
  assert.equal(host.connections().endedBy.keepalive, 1);
});

test("a connection that speaks is not asked", async (t) => {
  const host = await openConnectionHost(t, { connections });
  const [busy, silent] = [await openWirePeer(t, host.url), await openWirePeer(t, host.url)];
  for (const peer of [busy, silent]) peer.send(beginHttp2());
  const talking = setInterval(
    () => busy.send(frame(frameType.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1]))),
    20,
  );
  t.after(() => clearInterval(talking));
  await silent.ended();
  assert.deepEqual(busy.frames(frameType.ping), []);
  assert.equal(busy.socket.closed, false);
});
