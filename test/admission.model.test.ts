import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { OverloadedError } from "../src/server/admission/admission.errors.ts";
import { createAdmission } from "../src/server/admission/admission.ts";
import { CallSlots } from "../src/server/admission/call-slots.ts";
import { Refusals } from "../src/server/admission/refusals.ts";
import { StreamSlots } from "../src/server/admission/stream-slots.ts";
import { type BoundedCall, beginCall, endCall, scopeOf, wideLimits } from "./support/bounded-calls.ts";
import { probeCall, probeStream } from "./support/probe-service.ts";

const callers = ["a", "b", "c", "d"] as const;

type Step =
  | { readonly kind: "begin"; readonly caller: string }
  | { readonly kind: "end"; readonly which: number };

/** More begin than end, so that queues fill up. */
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("begin" as const), caller: fc.constantFrom(...callers) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat() }) },
);

const bounds = fc
  .record({ inAll: fc.integer({ min: 1, max: 5 }), own: fc.integer({ min: 1, max: 5 }), queue: fc.nat(6) })
  .map(({ inAll, own, queue }) => ({
    ...wideLimits,
    maxConcurrentCalls: inAll,
    maxConcurrentCallsPerCaller: Math.min(own, inAll),
    maxQueuedCalls: queue,
  }));

const inState = (calls: readonly BoundedCall[], state: BoundedCall["state"], caller?: string) =>
  calls.filter((call) => call.state === state && (caller === undefined || call.caller === caller));

test("however calls come and go: bounds hold, no slot is idle while somebody may have it, turns go round, nothing is left", async () => {
  await fc.assert(
    fc.asyncProperty(bounds, fc.array(step, { maxLength: 80, size: "max" }), async (limits, steps) => {
      const { maxConcurrentCalls, maxConcurrentCallsPerCaller, maxQueuedCalls } = limits;
      const admission = createAdmission(limits);
      const calls: BoundedCall[] = [];
      /** How many others' turns have come while a caller could have had its own. */
      const passedOver = new Map<string, Map<string, number>>();
      const mayHaveMore = (caller: string) =>
        inState(calls, "running", caller).length < maxConcurrentCallsPerCaller;
      const waitsForTurn = (caller: string) =>
        inState(calls, "waiting", caller).length > 0 && mayHaveMore(caller);

      async function take(action: Step): Promise<void> {
        const waiting = inState(calls, "waiting");
        const eligible = callers.filter(waitsForTurn);
        if (action.kind === "begin") {
          const own = inState(calls, "waiting", action.caller).length;
          const longest = Math.max(...callers.map((caller) => inState(calls, "waiting", caller).length));
          const call = beginCall(admission, probeCall, action.caller);
          calls.push(call);
          await setImmediate();
          if (call.state === "refused") {
            assert.equal(call.reason, "CALLS_EXHAUSTED");
            assert.equal(waiting.length, maxQueuedCalls);
            assert.ok(longest < own + 2, "somebody waits for more, and keeps the room");
          }
          const pushedOut = waiting.filter(({ state }) => state === "refused");
          assert.ok(pushedOut.length <= 1);
          for (const refused of pushedOut) {
            const { caller } = refused;
            assert.equal(
              waiting.findLast((other) => other.caller === caller),
              refused,
            );
            assert.ok(
              inState(calls, "waiting", caller).length >= own + 1,
              "who waits for less is pushed out",
            );
          }
        } else {
          const alive = calls.filter(({ state }) => state === "running" || state === "waiting");
          const call = alive[action.which % alive.length];
          if (call === undefined) return;
          endCall(admission, call);
          await setImmediate();
        }
        const served = waiting.filter(({ state }) => state === "running");
        for (const { caller } of served) countTurn(caller, eligible);
      }

      function countTurn(caller: string, eligible: readonly string[]): void {
        passedOver.delete(caller);
        for (const other of eligible) {
          if (other === caller) continue;
          const turns = passedOver.get(other) ?? new Map<string, number>();
          passedOver.set(other, turns.set(caller, (turns.get(caller) ?? 0) + 1));
          assert.ok((turns.get(caller) ?? 0) <= 1, `${caller} has two turns while ${other} waits for one`);
        }
      }

      function check(): void {
        const { running, queued } = admission.load();
        assert.equal(running, inState(calls, "running").length);
        assert.equal(queued, inState(calls, "waiting").length);
        assert.ok(running <= maxConcurrentCalls);
        assert.ok(queued <= maxQueuedCalls);
        for (const caller of callers) {
          assert.ok(inState(calls, "running", caller).length <= maxConcurrentCallsPerCaller);
          if (!waitsForTurn(caller)) passedOver.delete(caller);
          else assert.equal(running, maxConcurrentCalls, `a slot is idle while ${caller} may have it`);
          const states = calls.filter((call) => call.caller === caller).map(({ state }) => state);
          const firstWaiting = states.indexOf("waiting");
          assert.ok(firstWaiting === -1 || !states.includes("running", firstWaiting), "in order of arrival");
        }
      }

      for (const action of steps) {
        await take(action);
        check();
      }
      for (const call of calls) {
        if (call.state !== "left") endCall(admission, call);
      }
      const { running, queued, refused } = admission.load();
      assert.deepEqual([running, queued], [0, 0]);
      assert.equal(refused.CALLS_EXHAUSTED, calls.filter(({ reason }) => reason !== undefined).length);
    }),
    { numRuns: 300 },
  );
});

test("a call that ends before its turn is asked for takes nothing, and ending twice gives nothing back twice", () => {
  const admission = createAdmission({ ...wideLimits, maxConcurrentCalls: 1, maxQueuedCalls: 0 });
  const gone = scopeOf("a");
  admission.arrive(probeCall, gone);
  admission.leave(gone);
  assert.equal(admission.enter(probeCall, gone), undefined);
  assert.equal(admission.load().running, 0);
  const call = beginCall(admission, probeCall, "a");
  endCall(admission, call);
  endCall(admission, call);
  assert.equal(admission.load().running, 0);
  assert.equal(beginCall(admission, probeCall, "a").state, "running");
  assert.equal(beginCall(admission, probeCall, "a").state, "refused");
});

test("streams are counted apart from calls, in all and for each caller, and none waits", () => {
  const admission = createAdmission({
    ...wideLimits,
    maxConcurrentCalls: 1,
    maxStreams: 3,
    maxStreamsPerCaller: 2,
  });
  const begin = (caller: string) => beginCall(admission, probeStream, caller);
  const [first] = [begin("a"), begin("a")];
  assert.equal(begin("a").reason, "STREAMS_EXHAUSTED");
  begin("b");
  assert.equal(begin("b").reason, "STREAMS_EXHAUSTED");
  assert.equal(admission.load().streams, 3);
  assert.equal(beginCall(admission, probeCall, "a").state, "running");
  assert.ok(first);
  endCall(admission, first);
  assert.equal(begin("b").state, "running");
  assert.equal(admission.load().refused.STREAMS_EXHAUSTED, 2);
});

test("of the callers who come, go and are refused, no more than a thousand are remembered", () => {
  const refusals = new Refusals();
  const slots = new CallSlots({ ...wideLimits, maxConcurrentCalls: 1, maxQueuedCalls: 1 }, refusals);
  const streams = new StreamSlots({ maxStreams: 1, maxStreamsPerCaller: 1 }, refusals);
  const begin = (enter: () => unknown) => {
    try {
      enter();
    } catch (error) {
      assert.ok(error instanceof OverloadedError);
    }
  };
  for (let at = 0; at < 5_000; at++) {
    const scopes = [0, 1, 2].map((index) => scopeOf(`${at}/${index}`));
    for (const scope of scopes) begin(() => slots.enter(scope, scope.principal.actor));
    for (const { hold } of scopes.reverse()) hold?.giveBack();
    const streaming = [0, 1].map((index) => scopeOf(`${at}/${index}`));
    for (const scope of streaming) begin(() => streams.enter(scope, scope.principal.actor));
    for (const { hold } of streaming) hold?.giveBack();
  }
  assert.deepEqual(refusals.counts.CALLS_EXHAUSTED, 5_000);
  assert.deepEqual(refusals.counts.STREAMS_EXHAUSTED, 5_000);
  assert.deepEqual([slots.running, slots.queued, streams.open], [0, 0, 0]);
  assert.ok(slots.callers.size <= 1_001 && streams.callers.size <= 1_001);
});
