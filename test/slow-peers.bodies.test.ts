import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ConnectionHost, eventually, openConnectionHost } from "./support/connection-host.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { openLane } from "./support/server-pair.ts";
import { createSlowService, talkPath, tellPath } from "./support/slow-service.ts";
import { openWirePeer } from "./support/wire-peer.ts";
import { withDeadline } from "./support/with-deadline.ts";

const connections = { bodyTimeoutMs: 200 };
const hint = /nothing of the request's body has come for 200 ms: send it again, without a pause/;

/** A request over HTTP/2, and its end. */
function request(t: TestContext, url: string, path: string, type = "application/grpc+json") {
  const session = http2.connect(url, { rejectUnauthorized: false });
  t.after(() => session.destroy());
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, te: "trailers" });
  let body = "";
  const fields: http2.IncomingHttpHeaders = {};
  stream.on("response", (headers) => Object.assign(fields, headers));
  stream.on("trailers", (trailers) => Object.assign(fields, trailers));
  stream.on("error", () => {});
  stream.on("data", (bytes: Buffer) => {
    body += bytes.toString();
  });
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  return {
    stream,
    body: () => body,
    async ended() {
      await withDeadline("the stream's end", closed);
      return { status: fields["grpc-status"], message: decodeURIComponent(String(fields["grpc-message"])) };
    },
  };
}

const half = (text: string): Buffer => envelope(text).subarray(0, -2);

for (const lane of ["on", "off"] as const) {
  for (const tls of [false, true]) {
    describe(`BODY_TIMEOUT, ${tls ? "in TLS" : "in cleartext"}, lane ${lane}:`, () => {
      const open = (t: TestContext): Promise<ConnectionHost> =>
        openConnectionHost(t, { connections, lane, tls, routes: createSlowService().routes });

      for (const path of [callPath, streamPath, tellPath, talkPath]) {
        for (const sent of [Buffer.alloc(0), half('{"a":"b"}')]) {
          test(`${path} fails whose ${sent.length === 0 ? "first message" : "rest"} does not come`, async (t) => {
            const host = await open(t);
            const call = request(t, host.url, path);
            if (sent.length > 0) call.stream.write(sent);
            const { status, message } = await call.ended();
            assert.equal(status, String(Code.DeadlineExceeded));
            assert.match(message, hint);
            assert.equal(host.connections().pausedRequests, 1);
          });
        }
      }

      test("over HTTP/1.1 it is answered, and the connection closed", async (t) => {
        const host = await open(t);
        const peer = await openWirePeer(t, host.url, tls ? { alpn: ["http/1.1"] } : {});
        peer.send(
          `POST ${callPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{`,
        );
        await peer.ended();
        assert.match(peer.text, /^HTTP\/1\.1 504 Gateway Timeout\r\n/);
        assert.match(peer.text, /"deadline_exceeded"/);
        assert.match(peer.text, hint);
      });

      test("what comes slowly, but comes, is served", async (t) => {
        const host = await open(t);
        const call = request(t, host.url, callPath);
        const paused = request(t, host.url, callPath);
        const bytes = envelope('{"a":"b"}');
        let at = 0;
        const drip = setInterval(() => {
          call.stream.write(bytes.subarray(at, ++at));
          if (at < bytes.length) return;
          clearInterval(drip);
          call.stream.end();
        }, 40);
        t.after(() => clearInterval(drip));
        await paused.ended();
        assert.equal((await call.ended()).status, "0");
      });

      test("a stream may be silent between its messages, not within one", async (t) => {
        const host = await open(t);
        const silent = request(t, host.url, talkPath);
        silent.stream.write(envelope('"one"'));
        const cut = request(t, host.url, talkPath);
        cut.stream.write(Buffer.concat([envelope('"one"'), half('"two"')]));
        assert.match((await cut.ended()).message, hint);
        await request(t, host.url, callPath).ended();
        assert.equal(host.connections().pausedRequests, 2);
        silent.stream.end(envelope('"two"'));
        assert.equal((await silent.ended()).status, "0");
        assert.match(silent.body(), /"one"[^"]*"two"/s);
      });
    });
  }
}

test("while a call waits for its gate, its peer is not late", async (t) => {
  const { promise: verdict, resolve: open } = Promise.withResolvers<undefined>();
  let asked = 0;
  const url = await openLane(t, {
    routes: probeRoutes({ call: (message) => message }),
    bodyTimeoutMs: 200,
    gate: () => (asked++ === 0 ? verdict : undefined),
  });
  const call = request(t, url, callPath);
  call.stream.write(half('{"a":"b"}'));
  await eventually("the gate to be asked", () => asked === 1);
  for (let round = 0; round < 2; round++) {
    const late = request(t, url, callPath);
    late.stream.write(half('{"a":"b"}'));
    assert.equal((await late.ended()).status, String(Code.DeadlineExceeded));
  }
  open(undefined);
  await setImmediate();
  call.stream.end(envelope('{"a":"b"}').subarray(-2));
  assert.equal((await call.ended()).status, "0");
});

test("a call that its gate refuses is not late as well", async (t) => {
  const url = await openLane(t, {
    routes: probeRoutes({ call: (message) => message }),
    bodyTimeoutMs: 200,
    gate: () => new ConnectError("no", Code.PermissionDenied),
  });
  const call = request(t, url, callPath);
  call.stream.write(half("{}"));
  assert.equal((await call.ended()).status, String(Code.PermissionDenied));
});
