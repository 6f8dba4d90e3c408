import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { HandlerContext, Interceptor } from "@connectrpc/connect";
import { UnauthenticatedError } from "../src/platform/access.errors.ts";
import {
  describeReport,
  type LaneSetting,
  openReportingHost,
  type ReportingHost,
} from "./support/call-reports.ts";
import { endStream, openFrameConnection } from "./support/http2-frames.ts";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, type Probe, probeRoutes, streamPath } from "./support/probe-service.ts";
import { openRawClient, type RawCall } from "./support/raw-call.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { withDeadline } from "./support/with-deadline.ts";

const lanes: readonly LaneSetting[] = ["on", "off"];

interface Format {
  readonly type: string;
  readonly path: string;
  readonly frame: (text: string | Uint8Array) => Uint8Array;
  readonly timeout: (milliseconds: number) => readonly [string, string];
  readonly httpVersion: 1 | 2;
  readonly name: string;
}

const bare = (text: string | Uint8Array): Uint8Array => Buffer.from(text);
const base64 = (text: string | Uint8Array): Uint8Array => Buffer.from(envelope(text).toString("base64"));
const grpcTimeout = (ms: number) => ["grpc-timeout", `${ms}m`] as const;
const connectTimeout = (ms: number) => ["connect-timeout-ms", String(ms)] as const;

const kinds = [
  [callPath, "application/json", bare, connectTimeout, "Call connect"],
  [callPath, "application/grpc+json", envelope, grpcTimeout, "Call grpc"],
  [callPath, "application/grpc-web+json", envelope, grpcTimeout, "Call grpc-web"],
  [callPath, "application/grpc-web-text+json", base64, grpcTimeout, "Call grpc-web"],
  [streamPath, "application/connect+json", envelope, connectTimeout, "Stream connect"],
  [streamPath, "application/grpc+json", envelope, grpcTimeout, "Stream grpc"],
  [streamPath, "application/grpc-web+json", envelope, grpcTimeout, "Stream grpc-web"],
  [streamPath, "application/grpc-web-text+json", base64, grpcTimeout, "Stream grpc-web"],
] as const;

const formats: readonly Format[] = kinds.flatMap(([path, type, frame, timeout, name]) =>
  ([1, 2] as const).map((httpVersion) => ({ path, type, frame, timeout, name, httpVersion })),
);

function toCall({ path, type, frame, httpVersion }: Format, script: string | Uint8Array): RawCall {
  return { httpVersion, method: "POST", path, headers: [["content-type", type]], body: frame(script) };
}

/** What calls come to, by the script that their handler obeys. */
const scripts: readonly (readonly [what: string, script: string, code: string])[] = [
  ["ends well", '{"messages":2,"padding":10}', "OK"],
  ["fails with a status", '{"fail":"connect","code":5}', "NotFound"],
  ["fails in its domain", '{"messages":1,"fail":"domain"}', "FailedPrecondition"],
  ["fails unexpectedly", '{"fail":"error"}', "Internal"],
  ["is undecodable", "{nonsense", "InvalidArgument"],
  ["is too large", JSON.stringify({ text: "x".repeat(70_000) }), "ResourceExhausted"],
  ["has too large an answer", '{"messages":1,"padding":70000}', "ResourceExhausted"],
];

/** Sends one call after the other, and waits for both of its ends. */
async function report(t: TestContext, host: ReportingHost, calls: readonly RawCall[]): Promise<string[]> {
  const client = openRawClient(host.url);
  t.after(client.close);
  for (const call of calls) {
    const before = host.ended.length;
    await client.send(call);
    await host.toldTimes("ended", before + 1);
    await host.toldTimes("left", before + 1);
  }
  return host.ended.map(describeReport);
}

/** Begun, arrived, ended and left, as often, and nothing else. */
function assertEachOnce({ told }: ReportingHost, calls: number): void {
  const counts = Object.groupBy(told, (what) => what);
  assert.deepEqual(Object.fromEntries(Object.entries(counts).map(([what, times]) => [what, times?.length])), {
    begun: calls,
    arrived: calls,
    ended: calls,
    left: calls,
  });
}

describe("with the lane on and off, the end of every call is told once, and so is the end of its work,", () => {
  for (const [what, script, code] of scripts) {
    test(`in every protocol, of one that ${what}`, async (t) => {
      for (const lane of lanes) {
        const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe));
        const told = await report(
          t,
          host,
          formats.map((format) => toCall(format, script)),
        );
        assert.deepEqual(
          told,
          formats.map(({ name }) => `${name} ${code}`),
          `lane ${lane}`,
        );
        await host.close();
        assertEachOnce(host, formats.length);
      }
    });
  }

  test("with the bytes of its bodies as the wire has them", async (t) => {
    const bytes = [];
    for (const lane of lanes) {
      const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe));
      await report(
        t,
        host,
        formats.map((format) => toCall(format, '{"messages":2,"padding":10}')),
      );
      for (const [index, { requestBytes, durationMs }] of host.ended.entries()) {
        const format = formats[index] as Format;
        assert.equal(requestBytes, format.frame('{"messages":2,"padding":10}').length);
        assert.ok(durationMs > 0 && durationMs < 10_000);
      }
      bytes.push(host.ended.map(({ responseBytes }) => responseBytes));
    }
    assert.ok(bytes[0]?.every((count) => count > 10));
    assert.deepEqual(bytes[0], bytes[1]);
  });

  test("of one that is refused before it is read, at once or later", async (t) => {
    for (const lane of lanes) {
      for (const admit of [
        () => {
          throw new UnauthenticatedError("CREDENTIAL_MISSING");
        },
        () => Promise.reject(new UnauthenticatedError("CREDENTIAL_MISSING")),
      ]) {
        const access = { admit, interceptor: (next: Parameters<Interceptor>[0]) => next };
        const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe), { access });
        const told = await report(
          t,
          host,
          formats.map((format) => toCall(format, "{}")),
        );
        assert.deepEqual(
          told,
          formats.map(({ name }) => `${name} Unauthenticated`),
          `lane ${lane}`,
        );
        await host.close();
        assertEachOnce(host, formats.length);
      }
    }
  });

  test("of one whose deadline passes", async (t) => {
    for (const lane of lanes) {
      const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe));
      const calls = formats.map((format) => {
        const call = toCall(format, '{"wait":"aborted"}');
        return { ...call, headers: [...call.headers, format.timeout(20)] };
      });
      const told = await report(t, host, calls);
      assert.deepEqual(
        told,
        formats.map(({ name }) => `${name} DeadlineExceeded`),
        `lane ${lane}`,
      );
      await host.close();
      assertEachOnce(host, formats.length);
    }
  });

  test("of one that only connect-es answers: GET, compressed, of a compression that nobody knows", async (t) => {
    const get = `${callPath}?encoding=json&connect=v1&message=`;
    const json = ["content-type", "application/json"] as const;
    const post = { httpVersion: 2, method: "POST", path: callPath } as const;
    const calls: readonly RawCall[] = [
      { httpVersion: 2, method: "GET", path: `${get}%7B%7D`, headers: [], body: undefined },
      { httpVersion: 1, method: "GET", path: `${get}!&base64=1`, headers: [], body: undefined },
      { ...post, headers: [json, ["content-encoding", "gzip"]], body: gzipSync("{}") },
      { ...post, headers: [json, ["content-encoding", "gzip"]], body: Buffer.from("no gzip") },
      { ...post, headers: [json, ["content-encoding", "zip"]], body: Buffer.from("{}") },
    ];
    for (const lane of lanes) {
      const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe));
      assert.deepEqual(await report(t, host, calls), [
        "Call connect OK",
        "Call connect InvalidArgument",
        "Call connect OK",
        "Call connect InvalidArgument",
        "Call connect Unimplemented",
      ]);
      await host.close();
      assertEachOnce(host, calls.length);
    }
  });

  test("and nothing of what is no call: an unknown path, another content type, another verb", async (t) => {
    for (const lane of lanes) {
      const host = await openReportingHost(t, lane, probeRoutes(scriptedProbe));
      const client = openRawClient(host.url);
      t.after(client.close);
      const call = toCall(formats[0] as Format, "{}");
      await client.send({ ...call, path: "/test.v1.ProbeService/None" });
      await client.send({ ...call, headers: [["content-type", "text/plain"]] });
      await client.send({ ...call, method: "PUT" });
      await host.close();
      assert.deepEqual(host.told, []);
    }
  });
});

/** A probe whose handlers look at nothing until they are let go. */
function stubborn() {
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const begin = (_context: HandlerContext) => started.resolve();
  const probe: Required<Probe> = {
    async call(_request, context) {
      begin(context);
      await go.promise;
      return toStruct({});
    },
    async *stream(_request, context) {
      begin(context);
      yield toStruct({ at: "start" });
      await go.promise;
    },
  };
  return { probe, started: () => withDeadline("the handler", started.promise), go: () => go.resolve() };
}

describe("with the lane on and off, a handler that goes on is not told to have ended", () => {
  for (const path of [callPath, streamPath]) {
    for (const lane of lanes) {
      test(`when its peer resets its stream: ${path}, lane ${lane}`, async (t) => {
        const { probe, started, go } = stubborn();
        const host = await openReportingHost(t, lane, probeRoutes(probe));
        const connection = openFrameConnection(t, host.url);
        connection.headers(1, { ":path": path, "content-type": "application/grpc+json" });
        connection.data(1, envelope("{}"), endStream);
        await started();
        connection.reset(1, http2.constants.NGHTTP2_CANCEL);
        await host.toldTimes("ended", 1);
        await connection.flushed();
        assert.deepEqual(host.told, ["begun", "arrived", "ended"]);
        go();
        await host.toldTimes("left", 1);
        assert.match(describeReport(host.ended[0] as never), / grpc Canceled$/);
        assertEachOnce(host, 1);
      });

      test(`when its peer's connection breaks: ${path}, lane ${lane}`, async (t) => {
        const { probe, started, go } = stubborn();
        const host = await openReportingHost(t, lane, probeRoutes(probe));
        const socket = openRawSocket(t, host.url);
        socket.send(http1Request(path, "application/grpc+json", envelope("{}")));
        await started();
        socket.leave();
        await host.toldTimes("ended", 1);
        assert.deepEqual(host.told, ["begun", "arrived", "ended"]);
        go();
        await host.toldTimes("left", 1);
        assert.match(describeReport(host.ended[0] as never), / grpc Canceled$/);
        assertEachOnce(host, 1);
      });

      test(`when its deadline passes: ${path}, lane ${lane}`, async (t) => {
        const { probe, started, go } = stubborn();
        const host = await openReportingHost(t, lane, probeRoutes(probe));
        const socket = openRawSocket(t, host.url);
        const more = "grpc-timeout: 50m\r\n";
        socket.send(http1Request(path, "application/grpc+json", envelope("{}"), { more }));
        await started();
        await host.toldTimes("ended", 1);
        await socket.received(/grpc-status: 4/);
        assert.deepEqual(host.told, ["begun", "arrived", "ended"]);
        go();
        await host.toldTimes("left", 1);
        assert.match(describeReport(host.ended[0] as never), / grpc DeadlineExceeded$/);
        assertEachOnce(host, 1);
      });
    }
  }
});

describe("with the lane on and off, nothing works for a call", () => {
  for (const lane of lanes) {
    test(`whose peer has left while it waited for its turn, lane ${lane}`, async (t) => {
      let calls = 0;
      const turn = Promise.withResolvers<undefined>();
      const probe: Probe = { call: () => toStruct({ calls: ++calls }) };
      const host = await openReportingHost(t, lane, probeRoutes(probe), { enter: () => turn.promise });
      const connection = openFrameConnection(t, host.url);
      connection.headers(1, { ":path": callPath, "content-type": "application/grpc+json" });
      connection.data(1, envelope("{}"), endStream);
      await host.toldTimes("arrived", 1);
      connection.reset(1, http2.constants.NGHTTP2_CANCEL);
      await host.toldTimes("ended", 1);
      await host.toldTimes("left", 1);
      turn.resolve(undefined);
      await connection.flushed();
      await setImmediate();
      assert.equal(calls, 0);
      assertEachOnce(host, 1);
    });
  }
});
