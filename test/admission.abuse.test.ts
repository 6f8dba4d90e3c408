import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { callProbe, openHeldHost, openProbeStream, until } from "./support/held-probe.ts";
import { endStream, openFrameConnection } from "./support/http2-frames.ts";
import { callPath, streamPath } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { envelope } from "./support/raw-http.ts";
import { openRawSocket } from "./support/raw-socket.ts";

const grpc = "application/grpc+proto";
const emptyMessage = envelope("");

const cancel = 8;

/** Begins calls, and resets all of them: some together with their beginning, some when they have been read. */
async function resetRapidly(t: TestContext, url: string, path: string, calls: number): Promise<void> {
  const connection = openFrameConnection(t, url);
  const late: number[] = [];
  for (let at = 0; at < calls; at++) {
    const streamId = 2 * at + 1;
    connection.headers(streamId, { ":path": path, "content-type": grpc, te: "trailers" });
    connection.data(streamId, emptyMessage, endStream);
    if (at % 3 === 0) connection.reset(streamId, cancel);
    else late.push(streamId);
  }
  await connection.flushed();
  for (const streamId of late) connection.reset(streamId, cancel);
  await connection.flushed();
  connection.leave();
}

for (const lane of ["on", "off"] as const) {
  describe(`against abuse, lane ${lane}`, () => {
    for (const path of [callPath, streamPath]) {
      test(`rapid reset: no more handlers than may run, however many of ${path} are begun and reset`, async (t) => {
        const limits = { maxConcurrentCalls: 5, maxQueuedCalls: 50, maxStreams: 5 };
        const host = await openHeldHost(t, { lane, limits });
        for (let round = 0; round < 40; round++) {
          await resetRapidly(t, host.url, path, 50);
          await until("the queue's end", () => host.admission.load().queued === 0);
          const { running, streams } = host.admission.load();
          assert.ok(running <= 5 && streams <= 5);
          // What they have begun goes on, and a round later others begin.
          for (const call of host.held) call.finish();
        }
        assert.ok(host.begun >= 40, `${host.begun} handlers have begun`);
        assert.ok(host.mostHeld <= 5, `${host.mostHeld} at once`);
        host.letAllGo();
        const isZero = () => host.admission.load().running + host.admission.load().streams === 0;
        await until("nothing", isZero);
        await callProbe(createGrpcTransport({ baseUrl: host.url }), "an honest call");
        assert.ok(host.mostHeld <= 5);
      });
    }

    test("handlers that run on after their calls were reset keep their slots", async (t) => {
      const host = await openHeldHost(t, { lane, limits: { maxConcurrentCalls: 3, maxQueuedCalls: 10 } });
      const connection = openFrameConnection(t, host.url);
      for (let at = 0; at < 3; at++) {
        connection.headers(2 * at + 1, { ":path": callPath, "content-type": grpc, te: "trailers" });
        connection.data(2 * at + 1, emptyMessage, endStream);
      }
      await until("the handlers", () => host.held.length === 3);
      for (let at = 0; at < 3; at++) connection.reset(2 * at + 1, cancel);
      await connection.flushed();
      const call = callProbe(createGrpcTransport({ baseUrl: host.url }), "next");
      await until("the queue", () => host.admission.load().queued === 1);
      assert.equal(host.begun, 3);
      host.held[0]?.finish();
      await until("its turn", () => host.held.some(({ name }) => name === "next"));
      assert.equal(host.mostHeld, 3);
      host.letAllGo();
      await call;
    });

    test("who is refused is told so before the body has come, with a status that plain HTTP knows", async (t) => {
      const host = await openHeldHost(t, { lane, limits: { maxConcurrentCalls: 1, maxQueuedCalls: 0 } });
      const call = callProbe(createGrpcTransport({ baseUrl: host.url }), "runs");
      await until("the first", () => host.held.length === 1);
      const socket = openRawSocket(t, host.url);
      socket.send(
        `POST ${callPath} HTTP/1.1\r\nhost: probe.test\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{`,
      );
      const answer = await socket.received(/too many|calls that it can take/);
      assert.match(answer, /^HTTP\/1\.1 429 /);
      assert.match(answer, /^retry-after: 1\r$/im);
      assert.match(answer, /"code":"resource_exhausted"/);
      host.letAllGo();
      await call;
    });

    test("after any storm of calls, cancellations, deadlines and failures, nothing is left", async (t) => {
      const limits = { maxConcurrentCalls: 4, maxConcurrentCallsPerCaller: 3, maxQueuedCalls: 6 };
      const host = await openHeldHost(t, {
        lane,
        limits: { ...limits, maxStreams: 4, maxStreamsPerCaller: 3 },
      });
      const transports = protocols
        .filter(({ name }) => !name.includes("GET"))
        .map(({ createTransport }) => createTransport(host.url));
      const event = fc.record({
        via: fc.integer({ min: 0, max: transports.length - 1 }),
        caller: fc.constantFrom("a", "b", "c"),
        isStream: fc.boolean(),
        end: fc.constantFrom("finish", "fail", "cancel", "deadline"),
        releases: fc.integer({ min: 0, max: 2 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(event, { minLength: 30, maxLength: 60, size: "max" }), async (events) => {
          const calls: Promise<unknown>[] = [];
          const leaving: AbortController[] = [];
          for (const { via, caller, isStream, end, releases } of events) {
            const transport = transports[via];
            assert.ok(transport);
            const controller = new AbortController();
            const { signal } = controller;
            if (end === "cancel") leaving.push(controller);
            const timeoutMs = end === "deadline" ? 20 : undefined;
            calls.push(
              isStream
                ? openProbeStream(transport, end, { caller, signal })
                    .then((messages) => messages.next())
                    .catch(() => {})
                : callProbe(transport, end, { caller, signal, ...(timeoutMs && { timeoutMs }) }).catch(
                    () => {},
                  ),
            );
            for (let tick = 0; tick < 5; tick++) await setImmediate();
            if (releases > 1) leaving.shift()?.abort();
            for (const call of host.held.slice(0, releases)) {
              if (call.name === "fail") call.fail(new Error("as asked"));
              else call.finish();
            }
          }
          for (const controller of leaving) controller.abort();
          const isOver = Promise.allSettled(calls).then(() => true);
          let isDone = false;
          void isOver.then(() => {
            isDone = true;
          });
          await until("the end of all", () => {
            for (const call of host.held) call.finish();
            const { running, queued, streams } = host.admission.load();
            return isDone && running + queued + streams === 0;
          });
        }),
        { numRuns: 8 },
      );
      assert.ok(host.mostHeld <= 8, "calls and streams together");
    });
  });
}
