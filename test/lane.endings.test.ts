import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import { testLogger } from "./support/event-system.ts";
import { endStream, openFrameConnection } from "./support/http2-frames.ts";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, type Probe, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { openHostPair, openTestHost } from "./support/server-pair.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;
const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INADEQUATE_SECURITY } = http2.constants;
const json = "application/json";
const connectJson = "application/connect+json";

/** A probe that reports when its handlers begin, what their signals abort with and when they have cleaned up. */
function watch() {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<unknown>();
  const left = Promise.withResolvers<void>();
  const listen = ({ signal }: HandlerContext) => {
    signal.addEventListener("abort", () => aborted.resolve(signal.reason));
    started.resolve();
  };
  const probe: Required<Probe> = {
    async call(_request, context) {
      listen(context);
      await once(context.signal, "abort");
      return toStruct({});
    },
    async *stream(_request, context) {
      try {
        listen(context);
        yield toStruct({ at: "start" });
        await once(context.signal, "abort");
        yield toStruct({ at: "end" });
      } finally {
        left.resolve();
      }
    },
  };
  return {
    probe,
    started: () => withDeadline("the handler's start", started.promise),
    aborted: () => withDeadline("the signal", aborted.promise),
    left: () => withDeadline("the generator's finally", left.promise),
  };
}

function codeOf(reason: unknown): string {
  return reason instanceof ConnectError ? (Code[reason.code] ?? "") : (reason as Error).name;
}

describe("on the fast lane", () => {
  test("a handler that ignores its signal is not waited for beyond the deadline, in any protocol", async (t) => {
    const url = await openTestHost(t, probeRoutes(scriptedProbe));
    for (const [path, type, timeout, expected] of [
      [callPath, json, "connect-timeout-ms: 20", /^HTTP\/1.1 504.*deadline_exceeded/s],
      [callPath, "application/grpc+json", "grpc-timeout: 20m", /grpc-status: 4/],
      [callPath, "application/grpc-web+json", "grpc-timeout: 20m", /grpc-status: 4/],
      [streamPath, connectJson, "connect-timeout-ms: 20", /^HTTP\/1.1 200.*"xx".*deadline_exceeded/s],
      [streamPath, "application/grpc+json", "grpc-timeout: 20m", /"xx".*grpc-status: 4/s],
      [streamPath, "application/grpc-web+json", "grpc-timeout: 20m", /"xx".*grpc-status: 4/s],
    ] as const) {
      const script = '{"messages":1,"padding":2,"wait":"forever"}';
      const socket = openRawSocket(t, url);
      const body = type === json ? script : envelope(script);
      socket.send(http1Request(path, type, body, { more: `${timeout}\r\n` }));
      await socket.received(expected);
    }
  });

  test("a call is not run whose deadline has passed when its request is whole", async (t) => {
    let calls = 0;
    const probe: Probe = { call: () => toStruct({ calls: ++calls }) };
    const socket = openRawSocket(t, await openTestHost(t, probeRoutes(probe)));
    socket.send(http1Request(callPath, json, "{}", { more: "connect-timeout-ms: 0\r\n" }));
    await socket.received(/504.*deadline_exceeded/s);
    assert.equal(calls, 0);
  });

  test("a reset aborts the handler's signal with connect-es's code, and leaves its generator", async (t) => {
    const codes = [
      NGHTTP2_NO_ERROR,
      NGHTTP2_CANCEL,
      NGHTTP2_INTERNAL_ERROR,
      NGHTTP2_REFUSED_STREAM,
      NGHTTP2_ENHANCE_YOUR_CALM,
      NGHTTP2_INADEQUATE_SECURITY,
    ];
    for (const path of [callPath, streamPath]) {
      for (const code of codes) {
        const reasons: string[] = [];
        for (const lane of ["on", "off"] as const) {
          const { probe, started, aborted, left } = watch();
          const connection = openFrameConnection(t, await openTestHost(t, probeRoutes(probe), { lane }));
          connection.headers(1, { ":path": path, "content-type": "application/grpc+json" });
          connection.data(1, envelope("{}"), endStream);
          await started();
          connection.reset(1, code);
          reasons.push(codeOf(await aborted()));
          if (path === streamPath) await left();
          connection.leave();
        }
        // connect-es says of NO_ERROR nothing but that the signal has aborted.
        const expected = code === NGHTTP2_NO_ERROR ? "Canceled" : reasons[1];
        assert.equal(reasons[0], expected, `${path} ${code}`);
      }
    }
  });

  test("a connection that breaks cancels its calls over HTTP/1.1", async (t) => {
    for (const path of [callPath, streamPath]) {
      const { probe, started, aborted, left } = watch();
      const socket = openRawSocket(t, await openTestHost(t, probeRoutes(probe)));
      socket.send(http1Request(path, "application/grpc+json", envelope("{}")));
      await started();
      socket.leave();
      // connect-es says ABORTED here, or nothing, as Node happens to report the connection.
      assert.equal(codeOf(await aborted()), "Canceled");
      if (path === streamPath) await left();
    }
  });

  test("a connection that breaks aborts its calls over HTTP/2 with connect-es's code", async (t) => {
    for (const path of [callPath, streamPath]) {
      const reasons: string[] = [];
      for (const lane of ["on", "off"] as const) {
        const { probe, started, aborted, left } = watch();
        const connection = openFrameConnection(t, await openTestHost(t, probeRoutes(probe), { lane }));
        connection.headers(1, { ":path": path, "content-type": "application/grpc+json" });
        connection.data(1, envelope("{}"), endStream);
        await started();
        connection.leave();
        reasons.push(codeOf(await aborted()));
        if (path === streamPath) await left();
      }
      assert.equal(reasons[0], reasons[1]);
    }
  });

  test("the signal of a call that has ended well aborts, as it does with connect-es", async (t) => {
    const reasons: unknown[] = [];
    const probe: Probe = {
      call(_request, { signal }) {
        assert.equal(signal.aborted, false);
        signal.addEventListener("abort", () => reasons.push(signal.reason.name));
        return toStruct({});
      },
      async *stream(_request, { signal }) {
        signal.addEventListener("abort", () => reasons.push(signal.reason.name));
        yield toStruct({});
      },
    };
    const pair = await openHostPair(t, probeRoutes(probe));
    for (const url of [pair.lane, pair.reference]) {
      const socket = openRawSocket(t, url);
      socket.send(http1Request(callPath, json, "{}"));
      socket.send(http1Request(streamPath, connectJson, envelope("{}")));
      await socket.received(/200 OK.*200 OK.*\{\}.*0\r\n\r\n$/s);
    }
    assert.deepEqual(reasons, Array(4).fill("AbortError"));
  });

  test("a shutdown ends streams amid their messages with UNAVAILABLE, and lets unary calls finish", async (t) => {
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const host = await openHost({
      config: testConfig({}),
      logger: testLogger,
      health: createHealthStatus([]),
      routes: probeRoutes({
        async call() {
          started.resolve();
          await finish.promise;
          return toStruct({ at: "end" });
        },
        async *stream() {
          yield toStruct({ at: "start" });
          await new Promise(() => {});
        },
      }),
    });
    const sockets = ["application/grpc+json", "application/grpc-web+json", connectJson].map((type) => {
      const socket = openRawSocket(t, host.url);
      socket.send(http1Request(streamPath, type, envelope("{}")));
      return socket;
    });
    const call = openRawSocket(t, host.url);
    call.send(http1Request(callPath, json, "{}"));
    for (const socket of sockets) await socket.received(/"start"/);
    await started.promise;
    const isClosed = host.close();
    for (const socket of sockets) await socket.received(/grpc-status: 14|"code":"unavailable"/);
    finish.resolve();
    assert.match(await call.closed(), /"end"/);
    await isClosed;
  });

  test("a source is not asked for more than a slow reader takes, and goes on when it reads", async (t) => {
    let asked = 0;
    const total = 2_000;
    const url = await openTestHost(
      t,
      probeRoutes({
        async *stream() {
          for (; asked < total; asked++) yield toStruct({ padding: "x".repeat(10_000) });
        },
      }),
    );
    const session = http2.connect(url);
    t.after(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": streamPath, "content-type": connectJson });
    stream.end(envelope("{}"));
    await once(stream, "response");
    for (let last = -1; last !== asked; ) {
      last = asked;
      await ping(session);
      await setImmediate();
    }
    // The window of a stream is 64 KiB, and Node's own buffers are of that order.
    assert.ok(asked > 0 && asked < 100, `asked for ${asked} messages of 10 kB`);
    let received = 0;
    for await (const chunk of stream) received += (chunk as Buffer).length;
    assert.equal(asked, total);
    assert.ok(received > total * 10_000);
  });
});

const ping = (session: http2.ClientHttp2Session) =>
  new Promise<void>((resolve) => void session.ping(() => resolve()));
