import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ExportResultCode } from "@opentelemetry/core";
import { type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { createSpanLosses } from "../src/telemetry/tracing/span-losses.ts";
import { createSpanQueue } from "../src/telemetry/tracing/span-queue.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { createLogLines, type LogLine } from "./support/log-lines.ts";
import { startOtlpCollector } from "./support/otlp-collector.ts";
import { testConfig } from "./support/test-app.ts";
import { isServerSpan, makeTraceparent, traceTo } from "./support/traced-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const isLoss = ({ msg }: LogLine) => msg === "spans of traces are lost";

async function start(t: TestContext) {
  const [backend] = backends;
  assert.ok(backend);
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const collector = await startOtlpCollector();
  cleanUpAfter(t, collector.close);
  const log = createLogLines();
  const { maxEventLoopDelayMs: _, ...limits } = testConfig({}).limits;
  const config = testConfig({ database: database.config, limits, tracing: traceTo(collector) });
  const app = await startApp(config, log.logger);
  cleanUpAfter(t, app.close);
  const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
  async function call(): Promise<string> {
    const { traceId, traceparent } = makeTraceparent();
    await expectError(users.getUser({ email: "nobody@example.com" }, { headers: { traceparent } }), {
      code: Code.NotFound,
    });
    return traceId;
  }
  return { app, collector, log, call };
}

describe("a collector that does not take spans", () => {
  test("costs traces, one warning a minute and no call, and is sent traces again once it takes them", async (t) => {
    const { collector, log, call } = await start(t);
    collector.answer(500);
    await call();
    const loss = await log.until("that spans are lost", isLoss);
    assert.ok(Number(loss["spans"]) >= 1);
    await call();
    await collector.untilRequests(2);
    collector.answer(undefined);
    await call();
    await collector.untilRequests(3);
    await collector.close();
    await call();
    const back = await startOtlpCollector(collector.port);
    cleanUpAfter(t, back.close);
    const traceId = await call();
    await back.until("a span after its return", isServerSpan(traceId));
    assert.equal(log.lines.filter(isLoss).length, 1);
  });

  test("does not hold up the end of the process, which says how many are lost", async (t) => {
    const { app, collector, log, call } = await start(t);
    collector.answer(undefined);
    await call();
    await withDeadline("the program to end", app.close());
    assert.equal(log.lines.filter(isLoss).length, 1);
  });

  test("has no more wait for it than there is room for", async () => {
    const log = createLogLines();
    const losses = createSpanLosses(log.logger);
    const stuck: (() => void)[] = [];
    const exporter: SpanExporter = {
      export: (_spans, done) => void stuck.push(() => done({ code: ExportResultCode.SUCCESS })),
      shutdown: async () => {},
    };
    const queue = createSpanQueue(exporter, losses);
    const tracer = new TracerProvider({ spanProcessors: [queue.processor] }).getTracer("test");
    const made = 20_000;
    for (let count = 0; count < made; count++) tracer.startSpan("span").end();
    losses.report();
    const lost = log.lines.filter(isLoss).reduce((sum, { spans }) => sum + Number(spans), 0);
    assert.ok(queue.pending < 10_000, `${queue.pending} wait`);
    assert.equal(queue.pending + lost, made);
    const sent = queue.processor.shutdown();
    while (queue.pending > 0) {
      for (const end of stuck.splice(0)) end();
      await setImmediate();
    }
    await sent;
  });
});

test("two programs in one process send their spans each to its own collector", async (t) => {
  const [one, two] = [await start(t), await start(t)];
  const [first, second] = [await one.call(), await two.call()];
  await one.app.close();
  await two.app.close();
  const traces = [one, two].map(({ collector }) => new Set(collector.spans.map(({ traceId }) => traceId)));
  assert.deepEqual(traces, [new Set([first]), new Set([second])]);
});
