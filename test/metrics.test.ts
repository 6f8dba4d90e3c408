import assert from "node:assert/strict";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import fc from "fast-check";
import { UserService } from "../gen/users/v1/users_pb.ts";
import type { Config } from "../src/platform/config.ts";
import { callSeconds, Histogram } from "../src/telemetry/metrics/histogram.ts";
import { backends } from "./support/databases.ts";
import { type Exposition, readExposition, samplesOf, scrape, sumOf } from "./support/exposition.ts";
import { startGuardedApp, startTestApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const service = "users.v1.UserService";

/** Without what sheds calls: a machine that is busy with other tests is no matter here. */
const limits: Config["limits"] = {
  maxConcurrentCalls: 1_000,
  maxConcurrentCallsPerCaller: 1_000,
  maxQueuedCalls: 1_000,
  maxStreams: 1_000,
  maxStreamsPerCaller: 1_000,
};

/** Asks until it is so. What a call leaves in the metrics is there once its answer has been taken, a moment later. */
async function scrapeUntil(
  internalUrl: string | undefined,
  isSo: (now: Exposition) => boolean,
): Promise<Exposition> {
  const ask = async (): Promise<Exposition> => {
    for (;;) {
      const now = await scrape(internalUrl);
      if (isSo(now)) return now;
    }
  };
  return withDeadline("the metrics", ask());
}

function transports(baseUrl: string): readonly (readonly [protocol: string, transport: Transport])[] {
  return [
    ["grpc", createGrpcTransport({ baseUrl })],
    ["grpc-web", createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
    ["connect", createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ];
}

for (const backend of backends) {
  for (const lane of ["on", "off"] as const) {
    describe(`metrics, ${backend.name}, lane ${lane}`, () => {
      test("count each call by service, method, protocol and code, once", async (t) => {
        const app = await startTestApp((end) => t.after(end), backend, { lane, limits });
        for (const [protocol, transport] of transports(app.url)) {
          const users = createClient(UserService, transport);
          const username = `user_${protocol.replace("-", "_")}_x`;
          await users.registerUser({ email: `${protocol}@example.com`, username });
          await users.getUser({ email: `${protocol}@example.com` });
          await users.getUser({ email: "nobody@example.com" }).catch(() => {});
        }
        const calls = (now: Exposition, labels: Record<string, string>) =>
          sumOf(now, "user_bridge_calls_total", { service, kind: "unary", ...labels });
        const now = await scrapeUntil(app.internalUrl, (seen) => calls(seen, {}) === 9);
        for (const protocol of ["grpc", "grpc-web", "connect"]) {
          assert.equal(calls(now, { method: "RegisterUser", protocol, code: "OK" }), 1);
          assert.equal(calls(now, { method: "GetUser", protocol, code: "NotFound" }), 1);
        }
        for (const name of ["request_size_bytes", "response_size_bytes", "call_duration_seconds"]) {
          assert.equal(sumOf(now, `user_bridge_${name}_count`, { service }), 9, name);
          assert.ok(sumOf(now, `user_bridge_${name}_sum`, { service }) > 0, name);
        }
        assert.equal(sumOf(now, "user_bridge_calls_in_flight"), 0);
        assert.ok(sumOf(now, "user_bridge_database_statement_duration_seconds_count", { outcome: "ok" }) > 0);
        assert.ok(sumOf(now, "user_bridge_database_connections_max") >= 1);
        assert.equal(sumOf(now, "user_bridge_log_healthy"), 1);
        // A log that nobody follows is looked at once a second.
        await scrapeUntil(app.internalUrl, (seen) => sumOf(seen, "user_bridge_log_head_revision") === 3);
      });

      test("count streams while they are open, and when they have ended", async (t) => {
        const app = await startTestApp((end) => t.after(end), backend, { lane, limits });
        const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
        const leaving = new AbortController();
        const stream = users.streamUserEvents(
          { progressInterval: { seconds: 1n } },
          { signal: leaving.signal },
        );
        const iterator = stream[Symbol.asyncIterator]();
        await iterator.next();
        const labels = { service, method: "StreamUserEvents" };
        assert.equal(sumOf(await scrape(app.internalUrl), "user_bridge_streams_open", labels), 1);
        leaving.abort();
        await iterator.next().catch(() => {});
        const now = await scrapeUntil(
          app.internalUrl,
          (seen) => sumOf(seen, "user_bridge_streams_open", labels) === 0,
        );
        const ended = { ...labels, kind: "stream", code: "Canceled" };
        assert.equal(sumOf(now, "user_bridge_calls_total", ended), 1);
        assert.equal(sumOf(now, "user_bridge_stream_duration_seconds_count", labels), 1);
        assert.equal(sumOf(now, "user_bridge_call_duration_seconds_count", labels), 0);
      });
    });
  }
}

describe("metrics", () => {
  const [backend] = backends;
  assert.ok(backend);

  test("are on the internal listener alone, and take no credential", async (t) => {
    const app = await startGuardedApp((end) => t.after(end), backend, { limits });
    assert.equal((await fetch(new URL("/metrics", app.url))).status, 404);
    const refused = await fetch(new URL(`/${service}/GetUser`, app.url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    assert.equal(refused.status, 401);
    await refused.text();
    const labels = { service, method: "GetUser", protocol: "connect", code: "Unauthenticated" };
    const now = await scrapeUntil(
      app.internalUrl,
      (seen) => sumOf(seen, "user_bridge_calls_total", labels) === 1,
    );
    assert.equal(sumOf(now, "user_bridge_build_info"), 1);
    assert.ok(sumOf(now, "process_resident_memory_bytes") > 0);
    assert.ok(sumOf(now, "user_bridge_memory_limit_bytes") > 0);
  });

  test("come as OpenMetrics for who asks for it, with the same names for who does not, before and after", async (t) => {
    const app = await startTestApp((end) => t.after(end), backend, { limits });
    const before = await scrape(app.internalUrl);
    const accept = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5";
    const response = await fetch(new URL("/metrics", app.internalUrl), { headers: { accept } });
    assert.match(response.headers.get("content-type") ?? "", /^application\/openmetrics-text; version=1.0.0/);
    const text = await response.text();
    assert.match(text, /\n# EOF\n$/);
    assert.match(text, /# TYPE user_bridge_calls counter\n/);
    const after = await scrape(app.internalUrl);
    assert.deepEqual([...after.keys()], [...before.keys()]);
    assert.deepEqual(
      [...readExposition(text).keys()].sort(),
      [...after].map(([name, { type }]) => (type === "counter" ? name.replace(/_total$/, "") : name)).sort(),
    );
  });

  test("have no label that a caller has written", async (t) => {
    const app = await startTestApp((end) => t.after(end), backend, { limits });
    for (const path of [
      "/evil.v1.Evil/Evil",
      `/${service}/Evil`,
      `/${service}/GetUser/evil`,
      "/evil?evil=1",
    ]) {
      for (const type of [
        "application/json",
        "application/grpc",
        "application/grpc-web",
        "application/evil",
      ]) {
        const headers = { "content-type": type, "x-request-id": "evil", authorization: "Bearer evil" };
        await (await fetch(new URL(path, app.url), { method: "POST", headers, body: "evil" })).text();
      }
    }
    const session = http2.connect(app.url);
    const stream = session.request({ ":method": "EVIL", ":path": "/evil.v1.Evil/Evil" });
    await withDeadline("the answer", new Promise((resolve) => stream.on("close", resolve).resume()));
    session.close();
    const now = await scrape(app.internalUrl);
    for (const [name, { samples }] of now) assert.doesNotMatch(JSON.stringify(samples), /evil/i, name);
    assert.deepEqual(samplesOf(now, "user_bridge_calls_total"), []);
  });
});

describe("a histogram", () => {
  test("counts each observation in every bucket that it is no greater than", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 60_000, noNaN: true })), (observed) => {
        const histogram = new Histogram(callSeconds);
        for (const milliseconds of observed) histogram.observe(milliseconds);
        const samples = histogram.samples("h", { a: "b" });
        const bounds = [...callSeconds.bounds, Number.POSITIVE_INFINITY];
        for (const [index, bound] of bounds.entries()) {
          const expected = observed.filter((milliseconds) => milliseconds <= bound * 1_000).length;
          assert.equal(samples[index]?.value, expected);
          assert.equal(samples[index]?.labels["le"], bound === Number.POSITIVE_INFINITY ? "+Inf" : bound);
        }
        assert.equal(samples.at(-1)?.value, observed.length);
        const sum = observed.reduce((total, milliseconds) => total + milliseconds, 0) / 1_000;
        assert.ok(Math.abs((samples.at(-2)?.value ?? 0) - sum) <= 1e-9 * (1 + sum));
      }),
    );
  });
});
