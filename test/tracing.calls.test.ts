import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { UserEventsRequest_Start, UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import type { ExportedSpan } from "./support/otlp-spans.ts";
import { protocols } from "./support/protocols.ts";
import { isServerSpan, makeTraceparent, startTracedApp } from "./support/traced-app.ts";

const [embedded] = backends.filter(({ name }) => name === "embedded");
const nobody = { email: "nobody@example.com" };

for (const lane of ["on", "off"] as const) {
  describe(`with LANE=${lane}, a call's span`, () => {
    const start = async (t: Parameters<typeof cleanUpAfter>[0], tracing = {}) => {
      assert.ok(embedded);
      const app = await startTracedApp((cleanUp) => cleanUpAfter(t, cleanUp), embedded, { lane, tracing });
      const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
      return { ...app, users };
    };

    test("is under its caller's, on every protocol, with the facts of the conventions", async (t) => {
      const { url, collector } = await start(t);
      const traces = protocols.map((protocol) => ({ ...protocol, ...makeTraceparent() }));
      for (const { createTransport, traceId, traceparent } of traces) {
        const client = createClient(UserService, createTransport(url));
        const headers = { traceparent, tracestate: "vendor=7", "x-request-id": `request-${traceId}` };
        await expectError(client.getUser(nobody, { headers }), { code: Code.NotFound });
      }
      for (const { name, traceId, spanId } of traces) {
        const span = await collector.until(`a span of ${name}`, isServerSpan(traceId));
        assert.equal(span.name, "users.v1.UserService/GetUser");
        assert.equal(span.parentSpanId, spanId);
        assert.equal(span.traceState, "vendor=7");
        assert.deepEqual(span.status, { code: 0, message: "" });
        assert.ok(span.endNanos >= span.startNanos);
        const isConnect = name.startsWith("connect");
        assert.deepEqual(pick(span, /^rpc\./), {
          "rpc.service": "users.v1.UserService",
          "rpc.method": "users.v1.UserService/GetUser",
          "rpc.status_code": "NOT_FOUND",
          ...(isConnect
            ? {
                "rpc.system": "connect_rpc",
                "rpc.system.name": "connectrpc",
                "rpc.connect_rpc.error_code": "not_found",
              }
            : { "rpc.system": "grpc", "rpc.system.name": "grpc", "rpc.grpc.status_code": 5 }),
        });
        assert.equal(span.attributes["client.address"], "127.0.0.1");
        assert.equal(span.attributes["network.protocol.version"], name.endsWith("/2") ? "2" : "1.1");
        assert.equal(span.attributes["user_bridge.request.id"], `request-${traceId}`);
        assert.equal(span.attributes["user_bridge.principal.kind"], "anonymous");
        assert.equal(span.resource["service.name"], "user-bridge");
      }
    });

    test("says ERROR for the codes that are the server's fault, and for no others", async (t) => {
      const { users, collector, close } = await start(t);
      const good = makeTraceparent();
      const { id } = await users.registerUser(
        { email: "ada@example.com", username: "ada" },
        { headers: { traceparent: good.traceparent } },
      );
      assert.ok(id);
      const bad = makeTraceparent();
      await expectError(
        users.registerUser({ email: "nonsense" }, { headers: { traceparent: bad.traceparent } }),
        { code: Code.InvalidArgument },
      );
      const late = makeTraceparent();
      // The server's own deadline: a client that has one may leave before it.
      const headers = { traceparent: late.traceparent, "grpc-timeout": "100m" };
      await expectError(drain(users.streamUserEvents({}, { headers })), { code: Code.DeadlineExceeded });
      const spans = await Promise.all(
        [good, bad, late].map(({ traceId }) => collector.until("the spans", isServerSpan(traceId))),
      );
      assert.deepEqual(
        spans.map(({ status, attributes }) => [
          attributes["rpc.grpc.status_code"],
          attributes["rpc.status_code"],
          attributes["error.type"],
          status,
        ]),
        [
          [0, "OK", undefined, { code: 0, message: "" }],
          [3, "INVALID_ARGUMENT", undefined, { code: 0, message: "" }],
          [4, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", { code: 2, message: "" }],
        ],
      );
      await close();
    });

    test("ends with its stream", async (t) => {
      const { users, collector } = await start(t);
      const { traceId, traceparent } = makeTraceparent();
      const leaving = new AbortController();
      await users.registerUser({ email: "ada@example.com", username: "ada" });
      const events = users.streamUserEvents(
        { start: UserEventsRequest_Start.EARLIEST },
        { headers: { traceparent }, signal: leaving.signal },
      );
      const iterator = events[Symbol.asyncIterator]();
      assert.equal((await iterator.next()).value?.payload?.username, "ada");
      const meanwhile = makeTraceparent();
      await expectError(users.getUser(nobody, { headers: { traceparent: meanwhile.traceparent } }), {
        code: Code.NotFound,
      });
      const between = await collector.until("a call meanwhile", isServerSpan(meanwhile.traceId));
      assert.ok(!collector.spans.some(isServerSpan(traceId)), "the stream's span has ended before it");
      leaving.abort();
      await iterator.next().catch(() => {});
      const span = await collector.until("the stream's", isServerSpan(traceId));
      assert.ok(span.endNanos > between.endNanos);
      assert.equal(span.attributes["rpc.grpc.status_code"], Code.Canceled);
      assert.equal(span.attributes["rpc.status_code"], "CANCELLED");
      assert.equal(span.status.code, 0);
    });

    test("follows B3 as well, and begins a trace where what comes cannot be read", async (t) => {
      const { users, collector } = await start(t);
      const traceId = "463ac35c9f6413ad48485a3953bb6124";
      const spanId = "a2fb4a1d1a96d312";
      const call = (headers: Record<string, string>) =>
        expectError(users.getUser(nobody, { headers }), { code: Code.NotFound });
      const known = (id: string) => (span: ExportedSpan) => span.attributes["user_bridge.request.id"] === id;

      await call({ "x-request-id": "single", b3: `${traceId}-${spanId}-d` });
      await call({
        "x-request-id": "several",
        "x-b3-traceid": traceId,
        "x-b3-spanid": spanId,
        "x-b3-sampled": "1",
      });
      const w3c = makeTraceparent();
      await call({ "x-request-id": "both", traceparent: w3c.traceparent, b3: `${traceId}-${spanId}-0` });
      await call({ "x-request-id": "malformed", traceparent: "00-xyz-01", b3: "%%%" });
      await call({ "x-request-id": "none" });
      for (const name of ["single", "several"]) {
        const span = await collector.until(name, known(name));
        assert.deepEqual([span.traceId, span.parentSpanId], [traceId, spanId]);
      }
      const both = await collector.until("both", known("both"));
      assert.deepEqual([both.traceId, both.parentSpanId], [w3c.traceId, w3c.spanId]);
      const malformed = await collector.until("malformed", known("malformed"));
      const none = await collector.until("none", known("none"));
      assert.deepEqual([malformed.parentSpanId, none.parentSpanId], ["", ""]);
      assert.notEqual(malformed.traceId, none.traceId);
    });

    test("is made where the caller wants it, and otherwise for the share that is configured", async (t) => {
      const { url, users, collector, close } = await start(t, { sampleRatio: 0 });
      const call = (headers: Record<string, string>) =>
        expectError(users.getUser(nobody, { headers }), { code: Code.NotFound });
      const traceId = "463ac35c9f6413ad48485a3953bb6124";
      const spanId = "a2fb4a1d1a96d312";
      await call({});
      await call({ b3: "0" });
      await call({ b3: `${traceId}-${spanId}` });
      await call({ traceparent: makeTraceparent("00").traceparent });
      const health = createClient(Health, createConnectTransport({ baseUrl: url, httpVersion: "2" }));
      await health.check({});
      const wanted = makeTraceparent();
      await health.check({}, { headers: { traceparent: wanted.traceparent } });
      await call({ b3: "d", "x-request-id": "debug" });
      await close();
      const servers = collector.spans.filter(({ kind }) => kind === "server");
      assert.deepEqual(
        servers.map(({ name }) => name),
        ["grpc.health.v1.Health/Check", "users.v1.UserService/GetUser"],
      );
      assert.ok(servers.some(isServerSpan(wanted.traceId)));
      assert.ok(servers.some(({ attributes }) => attributes["user_bridge.request.id"] === "debug"));
    });

    test("leaves health checks out that nobody traces", async (t) => {
      const { url, collector, close } = await start(t);
      const health = createClient(Health, createConnectTransport({ baseUrl: url, httpVersion: "2" }));
      await health.check({});
      await close();
      assert.deepEqual(
        collector.spans.filter(({ kind }) => kind === "server"),
        [],
      );
    });
  });
}

function pick(span: ExportedSpan, names: RegExp): Record<string, unknown> {
  return Object.fromEntries(Object.entries(span.attributes).filter(([name]) => names.test(name)));
}

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of messages) {
    // Until it ends.
  }
}
