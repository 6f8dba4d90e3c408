import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { Shedding } from "../src/server/admission/shedding.ts";
import { callProbe, openHeldHost, openProbeStream, until } from "./support/held-probe.ts";

/** Keeps the event loop from everything else. */
function block(durationMs: number): void {
  const end = performance.now() + durationMs;
  while (performance.now() < end);
}

/** The machine may have other work, which makes the loop late as well: then it is tried again. */
async function whenServed<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ConnectError && error.message.includes("the server is busy"))) throw error;
    }
  }
}

for (const lane of ["on", "off"] as const) {
  describe(`a busy event loop, lane ${lane}`, () => {
    test("calls are refused while it is late, streams go on, health is told, and all are served again afterwards", async (t) => {
      const maxEventLoopDelayMs = 120;
      const host = await openHeldHost(t, { lane, limits: { maxEventLoopDelayMs } });
      const transport = createGrpcTransport({ baseUrl: host.url });
      const health = createClient(Health, transport);
      const { admission } = host;
      const stream = await whenServed(() => openProbeStream(transport, "open"));
      const refusedBefore = admission.load().refused.SERVER_OVERLOADED;

      let refusal: unknown;
      let ending: Promise<unknown> | undefined;
      let isBlocking = true;
      const blocking = (async () => {
        while (isBlocking) {
          block(110);
          await setImmediate();
        }
      })();
      try {
        await until("load", () => admission.load().shedShare > 0.5, 30_000);
        for (let time = 0; time < 100 && refusal === undefined; time++) {
          const call = callProbe(transport, "asks").catch((error: unknown) => {
            refusal = error;
          });
          await until("its end or its handler", () => refusal !== undefined || host.held.length > 1);
          host.held.find(({ name }) => name === "asks")?.finish();
          await call;
        }
        await health.check({});
        host.held[0]?.finish();
        ending = stream.next();
        assert.equal(((await ending) as IteratorResult<unknown>).done, false);
      } finally {
        isBlocking = false;
        await blocking;
      }
      assert.ok(refusal instanceof ConnectError, String(refusal));
      assert.equal(refusal.code, Code.ResourceExhausted);
      assert.equal(refusal.findDetails(ErrorInfoSchema)[0]?.reason, "SERVER_OVERLOADED");
      assert.ok(refusal.findDetails(RetryInfoSchema)[0]?.retryDelay);
      assert.equal(admission.load().refused.SERVER_OVERLOADED, refusedBefore + 1);

      await until("no load", () => admission.load().shedShare === 0, 30_000);
      host.letAllGo();
      await whenServed(() => callProbe(transport, "afterwards"));
    });
  });
}

/** An event loop to which more comes than it can serve: each turn takes as long as what came during the last one. */
function simulate(load: number, maxDelayMs: number, turns: number) {
  const refusalCost = 0.1;
  const shedding = new Shedding(maxDelayMs);
  let turnMs = 1;
  const delays: number[] = [];
  const shares: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    shedding.record(turnMs, turnMs);
    const served = load * (1 - shedding.share) + load * shedding.share * refusalCost;
    turnMs = Math.max(turnMs * served, 1);
    delays.push(turnMs);
    shares.push(shedding.share);
  }
  return { peakMs: Math.max(...delays), delays: delays.slice(-turns / 2), shares: shares.slice(-turns / 2) };
}

test("of what comes beyond what can be served, a share is refused that settles, and the delay stays below its maximum", () => {
  const loads = fc.double({ min: 1.01, max: 3, noNaN: true });
  fc.assert(
    fc.property(loads, fc.integer({ min: 50, max: 5_000 }), (load, maxDelayMs) => {
      const { delays, shares } = simulate(load, maxDelayMs, 2_000);
      const spread = Math.max(...shares) - Math.min(...shares);
      assert.ok(spread < 0.01, `the share swings by ${spread}`);
      assert.ok(Math.max(...delays) < maxDelayMs, `${Math.max(...delays)} ms`);
    }),
  );
});

test("twice as much as can be served, all at once, makes the loop no more than twice as late as it may be", () => {
  for (const maxDelayMs of [50, 500, 5_000]) {
    const { peakMs } = simulate(2, maxDelayMs, 200);
    assert.ok(peakMs < 2 * maxDelayMs, `${peakMs} ms`);
  }
});

test("a pause that comes once has nobody refused", () => {
  const shedding = new Shedding(500);
  for (const delayMs of [5, 5, 600, 5, 5, 60_000, 5]) {
    shedding.record(delayMs, delayMs + 25);
    assert.equal(shedding.share, 0);
  }
});

test("a loop that is less late than half of the maximum refuses nothing, one that is as late as the maximum everything", () => {
  const shedding = new Shedding(100);
  for (let time = 0; time < 100; time++) shedding.record(50, 60);
  assert.equal(shedding.share, 0);
  for (let time = 0; time < 100; time++) shedding.record(75, 85);
  assert.ok(Math.abs(shedding.share - 0.5) < 0.01);
  for (let time = 0; time < 100; time++) shedding.record(500, 500);
  assert.equal(shedding.share, 1);
});
