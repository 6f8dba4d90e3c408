import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { ShuttingDownError } from "../src/server/admission/admission.errors.ts";
import { createAdmission } from "../src/server/admission/admission.ts";
import { beginCall, endCall, scopeOf, wideLimits } from "./support/bounded-calls.ts";
import { openHeldHost, until } from "./support/held-probe.ts";
import { callPath, probeCall, probeStream, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { withDeadline } from "./support/with-deadline.ts";

const jsonCall = (name: string) => http1Request(callPath, "application/json", `{"name":"${name}"}`);

for (const lane of ["on", "off"] as const) {
  describe(`the end of a process, lane ${lane}`, () => {
    test("a call that comes over a connection that is still open is served; a stream is refused", async (t) => {
      const host = await openHeldHost(t, { lane, config: { drainTimeoutMs: 10_000 } });
      const [calls, streams] = [openRawSocket(t, host.url), openRawSocket(t, host.url)];
      calls.send(jsonCall("before"));
      streams.send(jsonCall("beside"));
      await until("the handlers", () => host.held.length === 2);
      const closed = host.close();
      calls.send(jsonCall("after"));
      await until("its handler", () => host.held.length === 3);
      streams.send(http1Request(streamPath, "application/connect+json", envelope('{"name":"stream"}')));
      await until("the refusal", () => host.admission.load().refused.SHUTTING_DOWN === 1);
      host.letAllGo();
      assert.match(await calls.received(/"after"/), /200 OK.*"before".*200 OK.*"after"/s);
      assert.match(await streams.received(/shutting down/), /200 OK.*"beside".*"code":"unavailable"/s);
      assert.equal(host.begun, 3);
      await withDeadline("the end", closed);
    });

    test("a call that would have to wait is told to go elsewhere; those that wait already have their turn", async (t) => {
      const host = await openHeldHost(t, {
        lane,
        limits: { maxConcurrentCalls: 1 },
        config: { drainTimeoutMs: 10_000 },
      });
      const [running, waiting] = [openRawSocket(t, host.url), openRawSocket(t, host.url)];
      running.send(jsonCall("runs"));
      await until("the handler", () => host.held.length === 1);
      waiting.send(jsonCall("waits"));
      await until("the queue", () => host.admission.load().queued === 1);
      const closed = host.close();
      waiting.send(jsonCall("late"));
      await until("the refusal", () => host.admission.load().refused.SHUTTING_DOWN === 1);
      host.letAllGo();
      const answers = await waiting.received(/SHUTTING_DOWN/);
      assert.match(answers, /200 OK.*"waits".*503 Service Unavailable.*retry-after: [12]\r.*"unavailable"/s);
      assert.match(answers, /google\.rpc\.RetryInfo/);
      await withDeadline("the end", closed);
    });

    test("HTTP/2 clients are told which calls were never begun: they may send them again elsewhere", async (t) => {
      const host = await openHeldHost(t, { lane, config: { drainTimeoutMs: 10_000 } });
      const session = http2.connect(host.url);
      t.after(() => session.destroy());
      session.on("error", () => {});
      const begin = () => {
        const stream = session.request({
          ":method": "POST",
          ":path": callPath,
          "content-type": "application/json",
        });
        stream.on("error", () => {});
        stream.end('{"name":"runs"}');
        return stream;
      };
      const stream = begin();
      await until("the handler", () => host.held.length === 1);
      const goaway = once(session, "goaway");
      const closed = host.close();
      // It has not heard of the end yet.
      const late = begin();
      const lateEnd = new Promise<void>((resolve) => late.once("close", resolve));
      const [code, lastStreamId] = await withDeadline("GOAWAY", goaway);
      assert.deepEqual([code, lastStreamId], [0, stream.id]);
      host.letAllGo();
      const [headers] = await withDeadline("the answer", once(stream, "response"));
      assert.equal(headers[":status"], 200);
      stream.resume();
      await withDeadline("the end of the late call", lateEnd);
      assert.equal(late.rstCode, http2.constants.NGHTTP2_REFUSED_STREAM);
      assert.equal(host.begun, 1);
      await withDeadline("the end", closed);
    });
  });
}

test("while a process ends, a stream that begins is refused with when to come back, and a call is not", () => {
  const admission = createAdmission(wideLimits);
  admission.drain();
  assert.throws(
    () => admission.arrive(probeStream, scopeOf("a")),
    (error) =>
      error instanceof ShuttingDownError && error.kind === "unavailable" && error.retryAfterMs >= 1_000,
  );
  const call = beginCall(admission, probeCall, "a");
  assert.equal(call.state, "running");
  endCall(admission, call);
});
