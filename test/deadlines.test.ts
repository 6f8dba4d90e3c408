import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { type Struct, StructSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext, type Transport } from "@connectrpc/connect";
import { expectError } from "./support/expect-error.ts";
import { toStruct } from "./support/probe-script.ts";
import { callPath, probeCall, probeRoutes, probeStream } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { openTestHost } from "./support/server-pair.ts";
import { talk, talkRoutes, tell } from "./support/talk-service.ts";
import { withDeadline } from "./support/with-deadline.ts";

const forever = new Promise<never>(() => {});
const minute = 60_000;

/** Says how long a call may last: null where there is no end. */
const describeTimeout = (context: HandlerContext): Struct =>
  toStruct({ timeoutMs: context.timeoutMs() ?? null });

const reportingRoutes = probeRoutes({
  call: (_request, context) => describeTimeout(context),
  async *stream(_request, context) {
    yield describeTimeout(context);
  },
});

/** Handlers that hear nothing and end never. */
function deafRoutes(router: ConnectRouter): void {
  probeRoutes({
    call: () => forever,
    async *stream() {
      yield toStruct({});
      await forever;
    },
  })(router);
  talkRoutes({
    async *listen() {},
    async tell(requests) {
      for await (const _request of requests);
      return { value: "all of it" };
    },
    async *talk(requests) {
      yield* requests;
    },
  })(router);
}

type Fields = Readonly<Record<string, string>>;

/** The most that both kinds of header can say; a client that was given it as an option could not hold it. */
const longest = { "grpc-timeout": "99999999H", "connect-timeout-ms": "9999999999" };

/** @param timeoutMs also keeps the client from waiting for longer */
async function call(transport: Transport, timeoutMs?: number, header?: Fields): Promise<Struct> {
  const answer = await transport.unary(probeCall, undefined, timeoutMs, header, toStruct({}));
  return answer.message as Struct;
}

/** Reads a stream to its end. */
async function follow(transport: Transport, timeoutMs?: number, header?: Fields): Promise<Struct[]> {
  const requests = Readable.from([toStruct({})]);
  const answer = await transport.stream(probeStream, undefined, timeoutMs, header, requests);
  const messages: Struct[] = [];
  for await (const message of answer.message) messages.push(message as Struct);
  return messages;
}

function readTimeout(answer: Struct | undefined): number | null {
  assert.ok(answer);
  const { timeoutMs } = toJson(StructSchema, answer) as { timeoutMs: number | null };
  return timeoutMs;
}

for (const lane of ["on", "off"] as const) {
  for (const protocol of protocols) {
    describe(`deadlines of ${protocol.name} with LANE=${lane}`, () => {
      test("are what the caller asks for, or the default, and the maximum at most; streams are exempt", async (t) => {
        const deadlines = { defaultMs: minute, maximumMs: 2 * minute };
        const url = await openTestHost(t, reportingRoutes, { lane, deadlines });
        const transport = protocol.createTransport(url);
        const ask = async (timeoutMs?: number) => readTimeout(await call(transport, timeoutMs));
        const askStream = async (timeoutMs?: number) => readTimeout((await follow(transport, timeoutMs))[0]);
        const isBetween = (ms: number | null, least: number, most: number) =>
          assert.ok(ms !== null && ms > least && ms <= most, String(ms));

        isBetween(await ask(), minute / 2, minute);
        isBetween(await ask(minute / 2), 0, minute / 2);
        isBetween(await ask(60 * minute), minute, 2 * minute);
        isBetween(readTimeout(await call(transport, undefined, longest)), minute, 2 * minute);
        assert.equal(await askStream(), null);
        isBetween(await askStream(60 * minute), 2 * minute, 60 * minute);
        const [atLongest] = await follow(transport, undefined, longest);
        isBetween(readTimeout(atLongest), 24 * 60 * minute, 2 ** 31);
      });

      test("end calls with DEADLINE_EXCEEDED, whatever their handlers do", async (t) => {
        const url = await openTestHost(t, deafRoutes, { lane, deadlines: { defaultMs: 50, maximumMs: 100 } });
        const transport = protocol.createTransport(url);
        const expected = { code: Code.DeadlineExceeded };
        await withDeadline("the default", expectError(call(transport), expected));
        await withDeadline("the maximum", expectError(call(transport, minute), expected));
        // A header of the test's own: the client itself would wait for ever.
        const headers = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
        await withDeadline(
          "what was asked for",
          expectError(follow(transport, undefined, headers), expected),
        );
      });
    });
  }

  describe(`deadlines with LANE=${lane}`, () => {
    test("end a request that is never sent whole", async (t) => {
      const url = await openTestHost(t, deafRoutes, { lane, deadlines: { defaultMs: 50, maximumMs: 100 } });
      const json = "content-type: application/json\r\n";
      // Compressed requests are connect-es's in any case.
      for (const type of [json, `${json}content-encoding: gzip\r\n`]) {
        const socket = openRawSocket(t, url);
        const length = "content-length: 100\r\n";
        socket.send(`POST ${callPath} HTTP/1.1\r\nhost: probe.test\r\n${type}${length}\r\n{`);
        await socket.received(/504 .*deadline_exceeded/s);
      }
    });

    test("end a call that sends a stream and never its end; one that talks lasts as long as it likes", async (t) => {
      const url = await openTestHost(t, deafRoutes, { lane, deadlines: { defaultMs: 50, maximumMs: 100 } });
      const gRPC = protocols.find(({ name }) => name === "gRPC proto over HTTP/2") ?? assert.fail();
      async function* endless() {
        yield { value: "something" };
        await forever;
      }
      const transport = gRPC.createTransport(url);
      const answer = transport.stream(tell, undefined, undefined, undefined, endless());
      const ended = (async () => {
        for await (const _message of (await answer).message);
      })();

      const say = Promise.withResolvers<void>();
      async function* words() {
        yield { value: "before" };
        await say.promise;
        yield { value: "after" };
      }
      const talking = transport.stream(talk, undefined, undefined, undefined, words());
      await withDeadline("the deadline", expectError(ended, { code: Code.DeadlineExceeded }));
      // Both began at the same time.
      say.resolve();
      const heard: string[] = [];
      for await (const { value } of (await talking).message) heard.push(value);
      assert.deepEqual(heard, ["before", "after"]);
    });

    test("hold for gRPC, however its content type is written", async (t) => {
      const url = await openTestHost(t, deafRoutes, { lane, deadlines: { defaultMs: 50, maximumMs: 100 } });
      for (const type of ["application/grpc", "application/grpc+proto", "APPLICATION/GRPC+PROTO"]) {
        const socket = openRawSocket(t, url);
        socket.send(http1Request(callPath, type, envelope("")));
        await socket.received(/grpc-status: 4\r\n/i);
      }
    });

    test("that cannot be read are refused, as without a default", async (t) => {
      const url = await openTestHost(t, reportingRoutes, { lane });
      const socket = openRawSocket(t, url);
      socket.send(http1Request(callPath, "application/json", "{}", { more: "connect-timeout-ms: soon\r\n" }));
      await socket.received(/400 .*invalid_argument/s);
    });
  });
}
