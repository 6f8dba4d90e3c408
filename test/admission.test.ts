import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { expectError } from "./support/expect-error.ts";
import { callProbe, openHeldHost, openProbeStream, until } from "./support/held-probe.ts";
import { protocols } from "./support/protocols.ts";

/** Says when to come back: not at once, and not in years. */
function assertRetryInfo(error: ConnectError): void {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  assert.ok(delay !== undefined, "there is a RetryInfo");
  const delayMs = Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
  assert.ok(delayMs > 0 && delayMs <= 10_000, `${delayMs} ms`);
  const seconds = Number(error.metadata.get("retry-after"));
  assert.equal(seconds, Math.ceil(delayMs / 1_000));
}

for (const lane of ["on", "off"] as const) {
  describe(`the bounds of calls, lane ${lane}`, () => {
    test("as many run as may, as many wait as may, the rest is refused; and those that wait run in their order", async (t) => {
      const limits = { maxConcurrentCalls: 3, maxQueuedCalls: 4 };
      const host = await openHeldHost(t, { lane, limits });
      const transport = createGrpcTransport({ baseUrl: host.url });
      const { admission } = host;
      const calls: Promise<void>[] = [];
      for (let at = 0; at < 7; at++) {
        calls.push(callProbe(transport, String(at)));
        await until("the call", () => admission.load().running + admission.load().queued === at + 1);
      }
      await until("the handlers", () => host.held.length === 3);
      for (let more = 0; more < 20; more++) {
        const refusal = expectError(callProbe(transport, "more"), {
          code: Code.ResourceExhausted,
          reason: "CALLS_EXHAUSTED",
        });
        assertRetryInfo(await refusal);
      }
      assert.deepEqual([admission.load().running, admission.load().queued], [3, 4]);
      for (let next = 3; next < 7; next++) {
        host.held[0]?.finish();
        await until(`call ${next}`, () => host.held.at(-1)?.name === String(next));
      }
      host.letAllGo();
      await Promise.all(calls);
      assert.equal(host.mostHeld, 3);
      assert.equal(host.begun, 7);
      await until("nothing", () => admission.load().running === 0);
      assert.equal(admission.load().refused.CALLS_EXHAUSTED, 20);
    });

    test("a caller at its own bound leaves the free slots to others, and takes turns with them", async (t) => {
      const limits = { maxConcurrentCalls: 3, maxConcurrentCallsPerCaller: 2, maxQueuedCalls: 20 };
      const host = await openHeldHost(t, { lane, limits });
      const transport = createGrpcTransport({ baseUrl: host.url });
      const { admission } = host;
      const calls: Promise<void>[] = [];
      async function begin(caller: string): Promise<void> {
        const { running, queued } = admission.load();
        calls.push(callProbe(transport, caller, { caller }));
        const now = () => admission.load().running + admission.load().queued;
        await until(`a call of ${caller}`, () => now() === running + queued + 1);
      }
      for (let count = 0; count < 6; count++) await begin("greedy");
      assert.deepEqual([admission.load().running, admission.load().queued], [2, 4]);
      await begin("modest");
      assert.equal(admission.load().running, 3);
      await begin("modest");
      await begin("other");
      const served: string[] = [];
      for (let turn = 0; turn < 3; turn++) {
        const before = host.begun;
        (host.held.find(({ name }) => name === "greedy") ?? host.held[0])?.finish();
        await until("the next", () => host.begun === before + 1);
        served.push(host.held.at(-1)?.name ?? "");
      }
      assert.deepEqual(served, ["modest", "other", "greedy"]);
      host.letAllGo();
      await Promise.all(calls);
      assert.equal(host.mostHeld, 3);
    });

    for (const { name, createTransport } of protocols) {
      test(`${name}: who is refused is told when to come back; a deadline ends the wait; who leaves makes room`, async (t) => {
        const host = await openHeldHost(t, { lane, limits: { maxConcurrentCalls: 1, maxQueuedCalls: 1 } });
        const transport = createTransport(host.url);
        const { admission } = host;
        const running = callProbe(transport, "runs");
        await until("the first", () => host.held.length === 1);

        const late = expectError(callProbe(transport, "late", { timeoutMs: 400 }), {
          code: Code.DeadlineExceeded,
        });
        await until("its arrival", () => admission.load().queued === 1);
        await late;
        await until("its end", () => admission.load().queued === 0);

        const leaving = new AbortController();
        const left = callProbe(transport, "leaves", { signal: leaving.signal });
        await until("the second", () => admission.load().queued === 1);
        const refused = expectError(callProbe(transport, "too many"), {
          code: Code.ResourceExhausted,
          reason: "CALLS_EXHAUSTED",
        });
        assertRetryInfo(await refused);
        leaving.abort();
        await expectError(left, { code: Code.Canceled });
        await until("its end", () => admission.load().queued === 0);

        const waits = callProbe(transport, "waits");
        await until("the third", () => admission.load().queued === 1);
        host.letAllGo();
        await Promise.all([running, waits]);
        assert.equal(host.begun, 2);
        await until("nothing", () => admission.load().running === 0);
      });
    }

    for (const { name, createTransport } of protocols.filter((protocol) => !protocol.name.includes("GET"))) {
      test(`${name}: streams are bounded in all and for each caller, and count until they end`, async (t) => {
        const limits = { maxStreams: 3, maxStreamsPerCaller: 2, maxConcurrentCalls: 1 };
        const host = await openHeldHost(t, { lane, limits });
        const transport = createTransport(host.url);
        const refused = { code: Code.ResourceExhausted, reason: "STREAMS_EXHAUSTED" };
        const leaving = new AbortController();
        const { signal } = leaving;
        await openProbeStream(transport, "1", { caller: "a" });
        await openProbeStream(transport, "2", { caller: "a", signal });
        const own = await expectError(openProbeStream(transport, "3", { caller: "a" }), refused);
        assert.match(own.message, /you have too many streams open/);
        assertRetryInfo(own);
        await openProbeStream(transport, "4", { caller: "b" });
        const all = await expectError(openProbeStream(transport, "5", { caller: "b" }), refused);
        assert.match(all.message, /the server has all the streams/);
        assert.equal(host.admission.load().streams, 3);

        leaving.abort();
        // Its handler waits for something that does not come: for as long as it works, it counts.
        host.held.find((call) => call.name === "2")?.finish();
        await until("its end", () => host.admission.load().streams === 2);
        await openProbeStream(transport, "6", { caller: "b" });
      });
    }

    test("health is told whatever else is at its bounds, and who watches it is counted apart", async (t) => {
      const host = await openHeldHost(t, {
        lane,
        limits: {
          maxConcurrentCalls: 1,
          maxQueuedCalls: 0,
          maxStreams: 2,
          maxStreamsPerCaller: 1,
          addressRate: { perSecond: 0.001, atOnce: 2 },
          principalRate: { perSecond: 0.001, atOnce: 1 },
        },
        loadWatch: { delayMs: 0, share: 0, close() {} },
      });
      const transport = createGrpcTransport({ baseUrl: host.url });
      const call = callProbe(transport, "runs");
      await openProbeStream(transport, "open");
      await expectError(callProbe(transport, "more"), {
        code: Code.ResourceExhausted,
        reason: "RATE_LIMITED",
      });
      const health = createClient(Health, transport);
      for (let time = 0; time < 10; time++) await health.check({});
      const watch = health.watch({})[Symbol.asyncIterator]();
      assert.equal((await watch.next()).done, false);
      const second = health.watch({})[Symbol.asyncIterator]();
      await expectError(second.next(), { code: Code.ResourceExhausted, reason: "STREAMS_EXHAUSTED" });
      host.letAllGo();
      await call;
    });
  });
}
