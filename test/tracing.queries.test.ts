import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import type { ExportedSpan } from "./support/otlp-spans.ts";
import { isServerSpan, makeTraceparent, startTracedApp } from "./support/traced-app.ts";

const nobody = "01890000-0000-7000-8000-000000000000";

async function start(t: TestContext, backend: Backend) {
  const app = await startTracedApp((cleanUp) => cleanUpAfter(t, cleanUp), backend);
  const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
  return { ...app, users };
}

for (const backend of backends) {
  describe(`on the ${backend.name} database, the spans of statements`, () => {
    test("are under their call's, with the statement's text and none of its parameters", async (t) => {
      const { users, collector, close } = await start(t, backend);
      const { traceId, traceparent } = makeTraceparent();
      await expectError(users.getUser({ email: "nobody@example.com" }, { headers: { traceparent } }), {
        code: Code.NotFound,
      });
      await close();
      const server = collector.spans.find(isServerSpan(traceId));
      const [query, ...others] = queriesOf(collector.spans, traceId);
      assert.deepEqual(others, []);
      assert.ok(server && query);
      assert.equal(query.parentSpanId, server.spanId);
      assert.equal(query.name, "select users");
      assert.equal(query.attributes["db.system.name"], "postgresql");
      assert.equal(query.attributes["db.operation.name"], "select");
      assert.equal(query.attributes["db.query.summary"], "select users");
      assert.match(String(query.attributes["db.query.text"]), /^\s*select .*\$1/s);
      assert.equal(query.attributes["db.namespace"] !== undefined, backend.name === "postgres");
      assert.ok(query.startNanos >= server.startNanos && query.endNanos <= server.endNanos);
      assert.deepEqual(query.status, { code: 0, message: "" });
    });

    test("are one where calls share a statement, and each of the traces leads to it", async (t) => {
      const { users, collector, close } = await start(t, backend);
      const traces = Array.from({ length: 60 }, () => makeTraceparent());
      const look = ({ traceparent }: { traceparent: string }) =>
        expectError(users.getUser({ id: nobody }, { headers: { traceparent } }), { code: Code.NotFound });
      // On one connection, at once: what arrives together is looked up together.
      await Promise.all(traces.map(look));
      await close();
      const queries = collector.spans.filter(({ kind }) => kind === "client");
      assert.ok(queries.length < traces.length, `${queries.length} statements for ${traces.length} calls`);
      assert.ok(queries.some(({ links }) => links.length > 0));
      assert.ok(queries.every(({ links }) => links.length <= 32));
      for (const { links, spanId, traceId } of queries) {
        for (const link of links) {
          const waiting = collector.spans.find((span) => span.spanId === link.spanId);
          assert.equal(waiting?.traceId, link.traceId);
          assert.notEqual(waiting?.traceId, traceId);
          assert.ok(waiting?.links.some((back) => back.spanId === spanId && back.traceId === traceId));
        }
      }
    });

    test("of a group commit are somebody's of the group, and lead to the others", async (t) => {
      const { users, collector, close } = await start(t, backend);
      const traces = Array.from({ length: 12 }, () => makeTraceparent());
      await Promise.all(
        traces.map(({ traceparent }, number) =>
          users.registerUser(
            { email: `ada${number}@example.com`, username: `ada${number}` },
            { headers: { traceparent } },
          ),
        ),
      );
      await close();
      const queries = collector.spans.filter(({ kind }) => kind === "client");
      assert.ok(queries.some(({ name, links }) => name === "insert users" && links.length > 0));
      for (const { traceId } of traces) {
        const server = collector.spans.find(isServerSpan(traceId));
        const isLed = queries.some(
          (query) => query.traceId === traceId || query.links.some((link) => link.spanId === server?.spanId),
        );
        assert.ok(isLed, "a registration whose trace leads to no statement");
      }
    });

    test("are not made for what goes on in the background, nor for calls whose trace is not kept", async (t) => {
      const { users, collector, close } = await start(t, backend);
      const { traceparent } = makeTraceparent("00");
      await users.registerUser({ email: "ada@example.com", username: "ada" }, { headers: { traceparent } });
      await expectError(users.getUser({ id: nobody }, { headers: { traceparent } }), {
        code: Code.NotFound,
      });
      await close();
      assert.deepEqual(collector.spans, []);
    });
  });
}

function queriesOf(spans: readonly ExportedSpan[], traceId: string): ExportedSpan[] {
  return spans.filter((span) => span.traceId === traceId && span.kind === "client");
}
