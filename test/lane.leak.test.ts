import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { collectGarbage } from "./support/garbage.ts";
import { toStruct } from "./support/probe-script.ts";
import { callPath, type Probe, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { openLane } from "./support/server-pair.ts";
import { withDeadline } from "./support/with-deadline.ts";

const connections = 10;
const streamsPerConnection = 100;
const callsPerConnection = 20;
const waves = 10;
const streams = waves * connections * streamsPerConnection;

/** Compiled code and Node's own caches grow a little; whatever belongs to a stream is several times as large. */
const maxBytesPerStream = 300;

describe("the fast lane", () => {
  test(`holds nothing of ${streams} streams and of other calls that have ended, however they ended`, async (t) => {
    const shutdown = new AbortController();
    const held: WeakRef<object>[] = [];
    const url = await openLane(t, { routes: probeRoutes(remember(held)), shutdownSignal: shutdown.signal });
    const idle = countResources();
    // The first waves fill what is filled once.
    for (let wave = 0; wave < 2; wave++) await runWave(url);
    const before = await measureHeap();
    held.length = 0;
    for (let wave = 0; wave < waves; wave++) await runWave(url);
    const count = held.length;
    await withDeadline("sockets and timers to be gone", untilEqual(countResources, idle), 5_000);
    const after = await measureHeap();
    // A call whose deadline passes before the request is whole is not run.
    assert.ok(count > streams, `${count} calls were run`);
    assert.equal(held.filter((reference) => reference.deref() !== undefined).length, 0, "calls still held");
    assert.equal(getEventListeners(shutdown.signal, "abort").length, 1);
    const bytes = (after - before - held.length * weakRefBytes) / streams;
    assert.ok(bytes < maxBytesPerStream, `${bytes} bytes a stream`);
  });
});

/** What the test itself keeps of each call. */
const weakRefBytes = 64;

/** A probe whose handlers' signals are remembered: a call holds its signal, and so does whatever holds the call. */
function remember(held: WeakRef<object>[]): Probe {
  return {
    async call(_request, { signal }) {
      held.push(new WeakRef(signal));
      return toStruct({});
    },
    async *stream(_request, { signal, requestHeader }) {
      held.push(new WeakRef(signal));
      yield toStruct({ at: "start" });
      const kind = requestHeader.get("x-kind");
      if (kind === "flood") for (;;) yield toStruct({ padding: "x".repeat(30_000) });
      if (kind === "cancel") await once(signal, "abort").catch(() => {});
      if (kind === "late") await new Promise(() => {});
      yield toStruct({ at: "end" });
    },
  };
}

const kinds = ["end", "cancel", "flood", "late"];

/** Connections of its own for each wave: Node allows each a number of resets only, and counts their bytes for ever. */
async function runWave(url: string): Promise<void> {
  await withDeadline("a wave", Promise.all(Array.from({ length: connections }, () => runConnection(url))));
}

async function runConnection(url: string): Promise<void> {
  const session = http2.connect(url);
  await once(session, "remoteSettings");
  const times = <T>(count: number, run: (index: number) => Promise<T>) =>
    Promise.all(Array.from({ length: count }, (_, index) => run(index)));
  await times(streamsPerConnection, (index) => runStream(session, kinds[index % kinds.length] as string));
  await times(callsPerConnection, () => runCall(session));
  const closed = once(session, "close");
  session.close();
  await closed;
}

async function runStream(session: http2.ClientHttp2Session, kind: string): Promise<void> {
  const stream = session.request({
    ":method": "POST",
    ":path": streamPath,
    "content-type": "application/grpc+json",
    "x-kind": kind,
    ...(kind === "late" && { "grpc-timeout": "100m" }),
  });
  stream.on("error", () => {});
  stream.end(envelope("{}"));
  const ended = once(stream, "close");
  await once(stream, "response");
  if (kind === "cancel" || kind === "flood") stream.close(http2.constants.NGHTTP2_CANCEL);
  stream.resume();
  await ended;
}

async function runCall(session: http2.ClientHttp2Session): Promise<void> {
  const stream = session.request({
    ":method": "POST",
    ":path": callPath,
    "content-type": "application/json",
    "connect-timeout-ms": "60000",
  });
  stream.end("{}");
  stream.resume();
  await once(stream, "close");
}

function countResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of process.getActiveResourcesInfo().sort()) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

async function untilEqual<T>(read: () => T, expected: T): Promise<void> {
  while (!isDeepStrictEqual(read(), expected)) await setImmediate();
}

async function measureHeap(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage().heapUsed;
}
