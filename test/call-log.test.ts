import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createContextValues } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import type { EndedCall } from "../src/lane/ended-call.ts";
import { CallScope } from "../src/platform/call-scope.ts";
import type { CallLogConfig } from "../src/platform/config.ts";
import { createHealthHandler } from "../src/server/health/health.handler.ts";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import { createCallLog } from "../src/telemetry/call-log/call-log.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createLogLines } from "./support/log-lines.ts";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { probeCall, probeRoutes, probeStream } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { testConfig } from "./support/test-app.ts";

const everything: CallLogConfig = { calls: "all", maxLinesPerSecond: 100_000 };

/** Serves probes with a log of calls. */
async function openLogged(t: TestContext, lane: "on" | "off", config: CallLogConfig = everything) {
  const log = createLogLines();
  const health = createHealthStatus([]);
  const host = await openHost({
    config: { ...testConfig({}), lane, drainTimeoutMs: 100 },
    logger: log.logger,
    routes: (router) => {
      probeRoutes(scriptedProbe)(router);
      router.service(Health, createHealthHandler(health));
    },
    health,
    telemetry: createCallLog(log.logger, config)?.calls,
  });
  cleanUpAfter(t, host.close);
  const lineOf = (id: string) =>
    log.until(`a line of ${id}`, (line) => line["requestId"] === id && line.msg === "call");
  return { ...log, url: host.url, lineOf };
}

describe("the log of calls", () => {
  for (const lane of ["on", "off"] as const) {
    test(`says of each call what it was and what became of it (lane ${lane})`, async (t) => {
      const { url, lineOf, lines } = await openLogged(t, lane);
      const common = { principal: "anonymous", address: "127.0.0.1" };
      for (const { name, createTransport } of protocols) {
        const transport = createTransport(url);
        const protocol = name.startsWith("gRPC-Web")
          ? "grpc-web"
          : name.startsWith("gRPC")
            ? "grpc"
            : "connect";
        const isGet = name.includes("GET");
        for (const [script, level, code, reason] of [
          [{ padding: 1_000 }, 30, "ok", undefined],
          [{ fail: "domain" }, 30, "FAILED_PRECONDITION", "PROBE_FAILED"],
          [{ fail: "error" }, 50, "INTERNAL", undefined],
          [{ fail: "connect", code: Code.Unavailable }, 40, "UNAVAILABLE", undefined],
        ] as const) {
          const id = `${name}/${code}`.replaceAll(" ", "_");
          const header = { "x-request-id": id };
          await transport.unary(probeCall, undefined, undefined, header, toStruct(script)).catch(() => {});
          const { time: _, durationMs, requestBytes, responseBytes, ...rest } = await lineOf(id);
          const method = "test.v1.ProbeService/Call";
          const expected = {
            level,
            requestId: id,
            ...common,
            method,
            protocol,
            code,
            ...(reason && { reason }),
            msg: "call",
          };
          assert.deepEqual(rest, expected, name);
          assert.ok(
            Number(durationMs) > 0 && /^\d+(?:\.\d{1,2})?$/.test(String(durationMs)),
            String(durationMs),
          );
          assert.ok(isGet ? requestBytes === 0 : Number(requestBytes) > 0, `${name}: ${requestBytes}`);
          if (code === "ok") assert.ok(Number(responseBytes) > 100, `${name}: ${responseBytes}`);
        }
        const id = `${name}/stream`.replaceAll(" ", "_");
        const input = (async function* () {
          yield toStruct({ messages: 3, padding: 1_000 });
        })();
        const answer = await transport.stream(
          probeStream,
          undefined,
          undefined,
          { "x-request-id": id },
          input,
        );
        for await (const _ of answer.message);
        const { stream, code, responseBytes } = await lineOf(id);
        assert.deepEqual([stream, code], [true, "ok"], name);
        assert.ok(Number(responseBytes) > 300, `${name}: ${responseBytes}`);
        // At LOG_LEVEL=debug, also when it begins.
        assert.ok(
          lines.some(
            ({ msg, level, requestId }) => msg === "a stream begins" && level === 20 && requestId === id,
          ),
        );
      }
      assert.equal(lines.filter(({ msg }) => msg === "call").length, protocols.length * 5, "one line a call");
    });

    test(`knows the address of a caller that has left in the middle (lane ${lane})`, async (t) => {
      const { url, lineOf } = await openLogged(t, lane);
      const transport = createGrpcTransport({ baseUrl: url });
      const leaving = new AbortController();
      const call = transport.unary(
        probeCall,
        leaving.signal,
        undefined,
        { "x-request-id": "left" },
        toStruct({ wait: "aborted" }),
      );
      const other = transport.unary(
        probeCall,
        undefined,
        undefined,
        { "x-request-id": "other" },
        toStruct({}),
      );
      await other;
      leaving.abort();
      await assert.rejects(call);
      const { level, code, address } = await lineOf("left");
      assert.deepEqual([level, code, address], [30, "CANCELED", "127.0.0.1"]);
    });

    test(`says of probes at the debug level only (lane ${lane})`, async (t) => {
      const { url, lineOf } = await openLogged(t, lane);
      const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
      await health.check({}, { headers: { "x-request-id": "probe" } });
      assert.equal((await lineOf("probe")).level, 20);
    });
  }

  test("leaves out what LOG_CALLS says: calls that end well, or all", async (t) => {
    for (const calls of ["errors", "none"] as const) {
      const { url, lines, lineOf } = await openLogged(t, "on", { ...everything, calls });
      const transport = createGrpcTransport({ baseUrl: url });
      const call = (id: string, script: object) =>
        transport
          .unary(probeCall, undefined, undefined, { "x-request-id": id }, toStruct(script))
          .catch(() => {});
      await call("good", {});
      await call("bad", { fail: "domain" });
      if (calls === "errors") await lineOf("bad");
      assert.deepEqual(
        lines.flatMap(({ msg, requestId }) => (msg === "call" ? [requestId] : [])),
        calls === "errors" ? ["bad"] : [],
      );
    }
  });
});

const codes = [
  undefined,
  Code.NotFound,
  Code.Unauthenticated,
  Code.ResourceExhausted,
  Code.Internal,
] as const;

function endedCall(code: Code | undefined, method: DescMethod = UserService.method.getUser): EndedCall {
  return {
    method,
    contextValues: createContextValues(),
    protocol: "grpc",
    error: code === undefined ? undefined : new ConnectError("no", code),
    durationMs: 1,
    requestBytes: 0,
    responseBytes: 0,
  };
}

const origin = { requestHeaders: {}, rawHeaders: [], remoteAddress: "::1", clientCertificate: undefined };
const scope = new CallScope(origin, () => "::1");

describe("a flood of calls", () => {
  test("makes a bounded number of lines, and what they leave out is counted, whatever comes when", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
    const second = fc.array(
      fc.record({
        code: fc.constantFrom(...codes),
        calls: fc.nat({ max: 400 }),
        thenMs: fc.nat({ max: 600 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), second, (maxLinesPerSecond, steps) => {
        const { logger, lines } = createLogLines();
        const log = createCallLog(logger, { calls: "all", maxLinesPerSecond });
        assert.ok(log);
        const sent = new Map<string, number>();
        const beganAt = Date.now();
        for (const { code, calls, thenMs } of steps) {
          for (let n = 0; n < calls; n++) log.calls.ended(endedCall(code), scope);
          const name = endedName(code);
          sent.set(name, (sent.get(name) ?? 0) + calls);
          t.mock.timers.tick(thenMs);
        }
        log.close();
        const told = new Map<string, number>();
        const tell = (name: string, calls: number) => told.set(name, (told.get(name) ?? 0) + calls);
        for (const line of lines) {
          if (line.msg === "call") tell(String(line["code"]), 1);
          else for (const [name, calls] of Object.entries(line["counts"] as object)) tell(name, calls);
        }
        for (const [name, calls] of sent) assert.equal(told.get(name) ?? 0, calls, name);
        const seconds = (Date.now() - beganAt) / 1_000;
        const counts = lines.filter(({ msg }) => msg === "calls not logged").length;
        const atOnce = 4 * Math.max(Math.ceil(maxLinesPerSecond / 4), 2);
        assert.ok(lines.length - counts <= atOnce + maxLinesPerSecond * seconds + 1, `${lines.length} lines`);
        assert.ok(counts <= seconds + 1, `${counts} counts`);
      }),
      { numRuns: 300 },
    );
  });

  test("hides no calls of another kind, though it goes on and on", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
    for (const flood of codes) {
      const { logger, lines } = createLogLines();
      const log = createCallLog(logger, { calls: "all", maxLinesPerSecond: 40 });
      assert.ok(log);
      const rare = [undefined, Code.NotFound, Code.ResourceExhausted, Code.Internal].filter(
        (code) => kindOf(code) !== kindOf(flood),
      );
      for (let second = 0; second < 20; second++) {
        for (let n = 0; n < 1_000; n++) {
          log.calls.ended(endedCall(flood), scope);
          t.mock.timers.tick(1);
        }
        for (const code of rare) log.calls.ended(endedCall(code), scope);
      }
      for (const code of rare) {
        const seen = lines.filter((line) => line["code"] === endedName(code)).length;
        assert.equal(seen, 20, `${endedName(code)} in a flood of ${endedName(flood)}`);
      }
      const flooding = lines.filter((line) => line["code"] === endedName(flood)).length;
      assert.ok(flooding >= 20 * 40 - 60, "what the others leave unused is not wasted");
    }
  });
});

function endedName(code: Code | undefined): string {
  return code === undefined ? "ok" : Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

function kindOf(code: Code | undefined): string {
  if (code === undefined) return "ok";
  return code === Code.Internal ? "ours" : code === Code.ResourceExhausted ? "load" : "theirs";
}
