import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { describe, type TestContext, test } from "node:test";
import type { Message } from "@bufbuild/protobuf";
import { UnauthenticatedError } from "../src/platform/access.errors.ts";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import type { Access } from "../src/server/interceptors/access.ts";
import type { RefusedCall } from "../src/server/interceptors/failure-translation.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { testLogger } from "./support/event-system.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** What answers with what it is given, and remembers it. */
async function open(t: TestContext, lane: "on" | "off", admit: Access["admit"]) {
  const received: Message[] = [];
  const refused: RefusedCall[] = [];
  const host = await openHost({
    config: { ...testConfig({}), drainTimeoutMs: 100, lane },
    logger: testLogger,
    routes: probeRoutes({
      call(request) {
        received.push(request);
        return request;
      },
      async *stream(request) {
        received.push(request);
        yield request;
      },
    }),
    health: createHealthStatus([]),
    access: { admit, interceptor: (next) => next },
    onRefusal: (call) => refused.push(call),
  });
  cleanUpAfter(t, host.close);
  return { url: host.url, received, refused };
}

interface Sent {
  /** Sends the next part of the body. */
  write(bytes: Uint8Array | string): void;
  end(): void;
  /** The answer's status and body, whether or not the request has been sent whole. */
  readonly answer: Promise<{ status: number; body: string }>;
}

type Send = (t: TestContext, url: string, path: string, type: string) => Sent;

const sendHttp1: Send = (t, url, path, type) => {
  const request = http.request(new URL(path, url), { method: "POST", headers: { "content-type": type } });
  t.after(() => request.destroy());
  request.on("error", () => {});
  request.flushHeaders();
  const answer = new Promise<http.IncomingMessage>((resolve) => request.once("response", resolve));
  return {
    write: (bytes) => void request.write(bytes),
    end: () => void request.end(),
    answer: answer.then(async (response) => ({
      status: response.statusCode ?? 0,
      body: await text(response),
    })),
  };
};

const sendHttp2: Send = (t, url, path, type) => {
  const session = http2.connect(url);
  t.after(() => session.destroy());
  session.on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type });
  stream.on("error", () => {});
  const status = new Promise<number>((resolve) =>
    stream.once("response", (headers) => resolve(headers[":status"] ?? 0)),
  );
  return {
    write: (bytes) => void stream.write(bytes),
    end: () => void stream.end(),
    answer: status.then(async (code) => ({ status: code, body: await text(stream) })),
  };
};

const json = "application/json";
const missing = () => new UnauthenticatedError("CREDENTIAL_MISSING");

for (const lane of ["on", "off"] as const) {
  for (const [version, send] of [
    ["HTTP/1", sendHttp1],
    ["HTTP/2", sendHttp2],
  ] as const) {
    describe(`who may not call, lane ${lane}, over ${version}`, () => {
      for (const [when, admit] of [
        [
          "at once",
          () => {
            throw missing();
          },
        ],
        ["later", () => Promise.reject(missing())],
      ] as [string, Access["admit"]][]) {
        test(`is told so ${when}, before the request has been sent`, async (t) => {
          const { url, received, refused } = await open(t, lane, admit);
          const call = send(t, url, callPath, json);
          const { status, body } = await withDeadline("the answer", call.answer);
          assert.equal(status, 401);
          assert.match(body, /"code":"unauthenticated"/);
          assert.match(body, /this needs a credential/);
          const stream = send(t, url, streamPath, "application/connect+json");
          assert.match((await withDeadline("the stream's end", stream.answer)).body, /unauthenticated/);
          assert.equal(received.length, 0);
          assert.deepEqual(
            refused.map(({ procedure, outcome, message }) => [procedure, outcome, message]),
            [
              ["test.v1.ProbeService/Call", "UNAUTHENTICATED", undefined],
              ["test.v1.ProbeService/Stream", "UNAUTHENTICATED", undefined],
            ],
          );
        });

        test(`is told so ${when}, whatever the body is`, async (t) => {
          const { url, received } = await open(t, lane, admit);
          const call = send(t, url, callPath, json);
          call.write("{ no json");
          call.end();
          assert.equal((await withDeadline("the answer", call.answer)).status, 401);
          assert.equal(received.length, 0);
        });
      }

      test("has nothing done, though its request has no body to wait for", async (t) => {
        const decided = Promise.withResolvers<undefined>();
        const asked = Promise.withResolvers<void>();
        let asks = 0;
        const { url, received, refused } = await open(t, lane, () => {
          asks += 1;
          asked.resolve();
          return asks === 1 ? decided.promise : undefined;
        });
        const call = send(t, url, callPath, "application/proto");
        call.end();
        await withDeadline("the gate", asked.promise);
        // By the time that one behind it has been answered, it would have been run.
        const next = send(t, url, callPath, "application/proto");
        next.end();
        assert.equal((await withDeadline("the next answer", next.answer)).status, 200);
        assert.equal(received.length, 1);
        decided.reject(missing());
        assert.equal((await withDeadline("the answer", call.answer)).status, 401);
        assert.equal(received.length, 1);
        assert.equal(refused.length, 1);
      });

      test("and who may are let in with the whole of what they have sent meanwhile", async (t) => {
        const decided = Promise.withResolvers<undefined>();
        const { url, received } = await open(t, lane, () => decided.promise);
        const long = "x".repeat(300_000);
        const call = send(t, url, callPath, json);
        call.write(`{"text":"${long}`);
        call.write('"}');
        call.end();
        const stream = send(t, url, streamPath, "application/connect+json");
        stream.write(envelope(`{"text":"${long}"}`));
        stream.end();
        decided.resolve(undefined);
        const answer = await withDeadline("the answer", call.answer);
        assert.deepEqual([answer.status, JSON.parse(answer.body)], [200, { text: long }]);
        assert.ok((await withDeadline("the stream's end", stream.answer)).body.includes(long));
        assert.equal(received.length, 2);
      });
    });
  }
}
