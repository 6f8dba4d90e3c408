import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { callerOf } from "../src/lane/caller.ts";
import { endStream, openFrameConnection } from "./support/http2-frames.ts";
import { toStruct } from "./support/probe-script.ts";
import { callPath, type Probe, probeRoutes } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { openBarePair, openHostPair, openTestHost, type ServerPair } from "./support/server-pair.ts";
import { withDeadline } from "./support/with-deadline.ts";

type Caller = ReturnType<typeof callerOf>;

async function untilGone(caller: Caller): Promise<void> {
  while (!caller.aborted) await setImmediate();
}

async function callBoth(t: TestContext, { lane, reference }: ServerPair): Promise<void> {
  for (const url of [lane, reference]) {
    const socket = openRawSocket(t, url);
    socket.send(http1Request(callPath, "application/json", "{}"));
    await socket.received(/200 OK.*\{\}/s);
  }
}

describe("what a handler learns of its caller without a signal", () => {
  test("is that it has left, for the reason that the signal gives", async (t) => {
    for (const lane of ["on", "off"] as const) {
      const started = Promise.withResolvers<void>();
      const seen = Promise.withResolvers<{ caller: Caller; context: HandlerContext }>();
      const probe: Probe = {
        async call(_request, context) {
          const caller = callerOf(context);
          assert.equal(caller.aborted, false);
          assert.equal(caller.reason, undefined);
          started.resolve();
          await untilGone(caller);
          seen.resolve({ caller, context });
          return toStruct({});
        },
      };
      const connection = openFrameConnection(t, await openTestHost(t, probeRoutes(probe), { lane }));
      connection.headers(1, { ":path": callPath, "content-type": "application/grpc+json" });
      connection.data(1, envelope("{}"), endStream);
      await withDeadline("the handler's start", started.promise);
      connection.reset(1, http2.constants.NGHTTP2_CANCEL);
      const { caller, context } = await withDeadline("the end", seen.promise);
      assert.ok(caller.reason instanceof ConnectError && caller.reason.code === Code.Canceled);
      assert.equal(context.signal.aborted, true);
      assert.equal(context.signal.reason, caller.reason);
      connection.leave();
    }
  });

  test("is that it has been answered", async (t) => {
    const callers: Caller[] = [];
    const probe: Probe = {
      call(_request, context) {
        callers.push(callerOf(context));
        return toStruct({});
      },
    };
    const pair = await openHostPair(t, probeRoutes(probe));
    await callBoth(t, pair);
    for (const caller of callers) await withDeadline("the end", untilGone(caller));
    assert.deepEqual(
      callers.map((caller) => caller.reason.name),
      ["AbortError", "AbortError"],
    );
  });

  test("is what the signal says that an interceptor has put in its place", async (t) => {
    const mine = AbortSignal.abort(new Error("mine"));
    const replace: Interceptor = (next) => (request) => next({ ...request, signal: mine } as typeof request);
    const reasons: unknown[] = [];
    const probe: Probe = {
      call(_request, context) {
        reasons.push(callerOf(context).reason);
        return toStruct({});
      },
    };
    const pair = await openBarePair(t, probeRoutes(probe), [replace]);
    await callBoth(t, pair);
    assert.deepEqual(reasons, [mine.reason, mine.reason]);
  });
});
