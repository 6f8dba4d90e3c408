import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import type { HandlerContext } from "@connectrpc/connect";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { withoutMadeIds } from "./support/raw-call.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { openHostPair, openTestHost } from "./support/server-pair.ts";
import { withDeadline } from "./support/with-deadline.ts";

const maxMessageBytes = 65_536;
const json = "application/json";
const connectJson = "application/connect+json";

const openScripted = (t: TestContext) => openTestHost(t, probeRoutes(scriptedProbe), { maxMessageBytes });

describe("over HTTP/1.1, the fast lane", () => {
  test("answers early and leaves the connection to the next request, whatever the client goes on sending", async (t) => {
    const socket = openRawSocket(t, await openScripted(t));
    const tooLarge = Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), Buffer.alloc(500_000)]);
    const request = http1Request(streamPath, connectJson, tooLarge);
    socket.send(request.subarray(0, 2_000));
    await socket.received(/resource_exhausted/);
    socket.send(request.subarray(2_000));
    socket.send(http1Request(callPath, json, '{"padding":3}'));
    await socket.received(/"padding":"xxx"/);
  });

  test("answers pipelined requests in their order", async (t) => {
    const socket = openRawSocket(t, await openScripted(t));
    socket.send(
      Buffer.concat([
        http1Request(streamPath, connectJson, envelope('{"messages":2,"padding":1}')),
        http1Request(callPath, json, '{"fail":"domain","text":"second"}'),
        http1Request(callPath, json, "{"),
        http1Request(callPath, json, '{"padding":4}'),
      ]),
    );
    const text = await socket.received(/"xxxx"/);
    assert.match(text, /"x".*"x".*second.*invalid_argument.*"xxxx"/s);
  });

  test("ends a pipelined call whose client leaves before its turn has come", async (t) => {
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const url = await openTestHost(
      t,
      probeRoutes({
        call: () => new Promise(() => {}),
        async *stream(_request, { signal }: HandlerContext) {
          start();
          await once(signal, "abort");
          end();
          yield toStruct({});
        },
      }),
    );
    const socket = openRawSocket(t, url);
    socket.send(http1Request(callPath, json, "{}"));
    socket.send(http1Request(streamPath, connectJson, envelope("{}")));
    await withDeadline("the call behind", started);
    socket.leave();
    await withDeadline("the end of the call behind", ended, 5_000);
  });

  test("leaves a client that expects 100-continue to be told so", async (t) => {
    const socket = openRawSocket(t, await openScripted(t));
    const request = http1Request(callPath, json, '{"padding":3}', { more: "expect: 100-continue\r\n" });
    const headLength = request.indexOf("\r\n\r\n") + 4;
    socket.send(request.subarray(0, headLength));
    await socket.received(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    socket.send(request.subarray(headLength));
    await socket.received(/HTTP\/1.1 200 OK.*"xxx"/s);
  });

  test("refuses a message for its length before any of it has come", async (t) => {
    const pair = await openHostPair(t, probeRoutes(scriptedProbe), { maxMessageBytes });
    for (const url of [pair.lane, pair.reference]) {
      const socket = openRawSocket(t, url);
      socket.send(
        `POST ${callPath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${json}\r\ncontent-length: 65537\r\n\r\n`,
      );
      await socket.received(/HTTP\/1.1 429.*resource_exhausted.*65537/s);
    }
  });

  test("answers odd targets and hosts as connect-es does", async (t) => {
    const pair = await openHostPair(t, probeRoutes(scriptedProbe), { maxMessageBytes });
    const oddities = [
      { target: `http://probe.test${callPath}` },
      { target: `${callPath}?a=b` },
      { target: `${callPath}#a` },
      { target: `/${callPath}` },
      { target: callPath.toLowerCase() },
      { host: "" },
      { host: "a b" },
      { host: "[" },
      { host: "1.2.3.999" },
      { host: "user@host:99999" },
      { host: "x\r\nhost: y" },
      { host: "[::1]:80" },
      { host: "x", more: "transfer-encoding: chunked\r\n" },
    ];
    for (const [path, type, body] of [
      [callPath, json, '{"padding":3}'],
      [streamPath, connectJson, envelope('{"messages":1}')],
    ] as const) {
      for (const oddity of oddities) {
        const target = oddity.target?.replace(callPath, path) ?? path;
        const request = http1Request(path, type, body, { more: "connection: close\r\n", ...oddity, target });
        const answers = await Promise.all(
          [pair.lane, pair.reference].map(async (url) => {
            const socket = openRawSocket(t, url);
            socket.send(request);
            return withoutMadeIds((await socket.closed()).replace(/date: .*\r\n/gi, ""));
          }),
        );
        const [actual, expected] = answers.map(unframe);
        assert.equal(actual, expected, JSON.stringify(oddity));
        assert.match(actual ?? "", /^http\/1.1 \d/m);
      }
    }
  });

  test("ignores trailers from the client, and reads a body in chunks of any size", async (t) => {
    const socket = openRawSocket(t, await openScripted(t));
    const body = envelope('{"messages":1,"padding":2}');
    socket.send(
      `POST ${streamPath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${connectJson}\r\ntransfer-encoding: chunked\r\n` +
        `trailer: x-late\r\n\r\n${[...body].map((byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join("")}` +
        "0\r\nx-late: 1\r\n\r\n",
    );
    await socket.received(/"xx"/);
  });

  test("never runs a call whose request breaks off", async (t) => {
    let calls = 0;
    const url = await openTestHost(
      t,
      probeRoutes({
        call() {
          calls++;
          return toStruct({});
        },
      }),
    );
    const broken = openRawSocket(t, url);
    broken.send(http1Request(callPath, json, "{}   ").subarray(0, -1));
    const next = openRawSocket(t, url);
    next.send(http1Request(callPath, json, "{}"));
    await next.received(/200 OK/);
    broken.leave();
    next.send(http1Request(callPath, json, "{}"));
    await next.received(/200 OK.*200 OK/s);
    assert.equal(calls, 2);
  });

  test("cuts off an answer with fields that HTTP forbids, and serves on", async (t) => {
    const url = await openScripted(t);
    for (const script of [
      '{"headers":[["x","\\u0001"]],"messages":1}',
      '{"headers":[["x","\\u0001"]],"wait":"forever"}',
      '{"trailers":[["x","\\u0001"]],"messages":1}',
      '{"fail":"connect","metadata":[["x","\\u0001"]]}',
    ]) {
      for (const path of [callPath, streamPath]) {
        if (path === callPath && script.includes("wait")) continue;
        const socket = openRawSocket(t, url);
        socket.send(http1Request(path, "application/grpc+json", envelope(script)));
        await socket.closed();
      }
    }
    const next = openRawSocket(t, url);
    next.send(http1Request(callPath, json, "{}"));
    await next.received(/200 OK/);
  });
});

/** Chunks and their lengths are Node's, and so is the order of header fields. */
function unframe(answer: string): string {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  const lines = head
    .split("\r\n")
    .filter((line) => !/^(?:transfer-encoding|connection|keep-alive):/i.test(line));
  const text = body.replace(/(?:^|\r\n)[0-9a-f]+\r\n/g, "");
  return [...lines.map((line) => line.toLowerCase()).sort(), text].join("\n");
}
