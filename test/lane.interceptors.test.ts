import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  createContextValues,
  type Interceptor,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import { cleanUpAfter } from "./support/clean-up.ts";
import { probeValue, type Script, scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { openRawClient, type RawCall, toComparable } from "./support/raw-call.ts";
import { envelope } from "./support/raw-http.ts";
import { openBarePair } from "./support/server-pair.ts";

type Call = Parameters<ReturnType<Interceptor>>[0];
type Answer = UnaryResponse | StreamResponse;
type Messages = AsyncIterable<ReturnType<typeof toStruct>>;

const refusal = () => new ConnectError("refused", Code.PermissionDenied, { "x-why": "because" });

/** An interceptor that changes the request, one that changes the response. */
const before =
  (change: (request: Call) => Call): Interceptor =>
  (next) =>
  async (request) =>
    next(change(request));
const after =
  (change: (response: Answer) => Answer): Interceptor =>
  (next) =>
  async (request) =>
    change((await next(request)) as Answer);
const onStream = (wrap: (messages: Messages) => Messages): Interceptor =>
  after((response) =>
    response.stream
      ? ({ ...response, message: wrap(response.message as unknown as Messages) } as unknown as Answer)
      : response,
  );
async function* items<T>(...all: T[]): AsyncGenerator<T> {
  yield* all;
}

const kinds: Record<string, readonly Interceptor[]> = {
  "read the request": [
    before((request) => {
      request.header.set("x-seen", `${request.header.get("x-one")} ${new URL(request.url).pathname}`);
      request.header.set("x-more", `${request.requestMethod} ${request.stream} ${request.signal.aborted}`);
      return request;
    }),
  ],
  "pass on a copy of the request": [before((request) => ({ ...request }))],
  "replace the request's header": [
    before((request) => ({ ...request, header: new Headers({ "x-new": "1" }) })),
  ],
  "replace the signal": [
    before((request) => ({ ...request, signal: AbortSignal.abort(new ConnectError("mine", Code.DataLoss)) })),
  ],
  "set a context value": [
    before((request) => {
      request.contextValues.set(probeValue, "set");
      return request;
    }),
  ],
  "replace the context values": [
    before((request) => ({ ...request, contextValues: createContextValues().set(probeValue, "replaced") })),
  ],
  "replace what is not theirs": [
    before((request) => ({ ...request, url: "http://elsewhere/x", requestMethod: "BREW" })),
  ],
  "replace the request message": [
    before((request) => {
      const message = toStruct({ padding: 2, messages: 1 });
      return { ...request, message: request.stream ? items(message) : message } as Call;
    }),
  ],
  "take the request message away": [
    before((request) => (request.stream ? ({ ...request, message: items() } as Call) : request)),
  ],
  "add a request message": [
    before((request) =>
      request.stream
        ? ({ ...request, message: items(toStruct({}), toStruct({})) } as unknown as Call)
        : request,
    ),
  ],
  "set response fields": [
    after((response) => {
      response.header.append("x-one", "from the interceptor");
      response.trailer.append("x-late", "from the interceptor");
      return response;
    }),
  ],
  "pass on a copy of the response": [after((response) => ({ ...response }))],
  "replace the response's header and trailer": [
    after((response) => ({
      ...response,
      header: new Headers([...response.header, ["x-new", "1"]]),
      trailer: new Headers([...response.trailer, ["x-late", "1"]]),
    })),
  ],
  "replace the response message": [
    after((response) => (response.stream ? response : { ...response, message: toStruct({ other: true }) })),
  ],
  "answer without the handler": [
    () => async (request) =>
      ({
        stream: request.stream,
        service: request.service,
        method: request.method,
        header: new Headers({ "content-type": "application/proto", "x-own": "1" }),
        trailer: new Headers({ "grpc-status": "0", "x-own-late": "1" }),
        message: request.stream ? items(toStruct({ own: 1 })) : toStruct({ own: 1 }),
      }) as unknown as Answer,
  ],
  "change each message": [
    onStream(async function* (messages) {
      for await (const _message of messages) yield toStruct({ changed: true });
    }),
  ],
  "add and drop messages": [
    onStream(async function* (messages) {
      yield toStruct({ first: true });
      for await (const _message of messages);
      yield toStruct({ last: true });
    }),
  ],
  "end a stream early": [
    onStream(async function* (messages) {
      for await (const message of messages) {
        yield message;
        return;
      }
    }),
  ],
  "fail a stream amid it": [
    onStream(async function* (messages) {
      for await (const message of messages) {
        yield message;
        throw refusal();
      }
    }),
  ],
  "fail at once": [
    () => () => {
      throw refusal();
    },
  ],
  "fail while they are applied": [
    () => {
      throw refusal();
    },
  ],
  "fail before": [
    () => async () => {
      throw refusal();
    },
  ],
  "fail after": [
    after((response) => {
      response.header.set("x-set", "before the failure");
      throw refusal();
    }),
  ],
  "fail with something else": [
    () => async () => {
      throw new TypeError("secret");
    },
  ],
  "catch what fails": [
    (next) => async (request) => {
      try {
        return await next(request);
      } catch (error) {
        throw new ConnectError(`caught: ${ConnectError.from(error).rawMessage}`, Code.Unknown);
      }
    },
  ],
  "are applied in order": [
    before((request) => ({ ...request, header: new Headers([...request.header, ["x-way", "outer"]]) })),
    before((request) => {
      request.header.append("x-way", "inner");
      return request;
    }),
    after((response) => ({ ...response, header: new Headers([...response.header, ["x-back", "inner"]]) })),
  ],
};

const scripts: readonly Script[] = [
  { headers: [["x-one", "1"]], trailers: [["x-late", "2"]], messages: 2 },
  { headers: [["x-one", "1"]], messages: 1, fail: "connect", text: "as asked", metadata: [["x-meta", "3"]] },
  { fail: "error" },
];

describe("interceptors that", () => {
  for (const [kind, interceptors] of Object.entries(kinds)) {
    test(`${kind} have the same effect on the fast lane as on connect-es`, (t) => compare(t, interceptors));
  }

  test("replace all fields have the same effect", async (t) => {
    // connect-es deletes the old fields while it iterates over them, so that every other one stays: without fields
    // of the handler's own there are none to stay.
    const sent: Script[] = [{ messages: 1 }];
    const fields = new Headers({ "grpc-status": "0", "x-new": "1" });
    await compare(t, [after((response) => ({ ...response, header: fields }))], sent);
    await compare(t, [after((response) => ({ ...response, trailer: fields }))], sent);
  });

  test("replace the signal end a handler that waits for it", (t) =>
    compare(t, kinds["replace the signal"] ?? [], [{ wait: "aborted" }]));
});

async function compare(t: TestContext, interceptors: readonly Interceptor[], sent = scripts): Promise<void> {
  const pair = await openBarePair(t, probeRoutes(scriptedProbe), interceptors);
  const [lane, reference] = [openRawClient(pair.lane), openRawClient(pair.reference)];
  cleanUpAfter(t, lane.close);
  cleanUpAfter(t, reference.close);
  for (const call of sent.flatMap(makeCalls)) {
    const [actual, expected] = await Promise.all([lane.send(call), reference.send(call)]);
    const { httpVersion, path, headers } = call;
    assert.deepEqual(
      toComparable(actual),
      toComparable(expected),
      `${JSON.stringify({ httpVersion, path, headers })} ${call.body}`,
    );
  }
}

/** A script by every protocol and both formats and HTTP versions. */
function makeCalls(script: Script): RawCall[] {
  return ([1, 2] as const).flatMap((httpVersion) =>
    [callPath, streamPath].flatMap((path) =>
      ["application/grpc", "application/grpc-web", "connect"].flatMap((protocol) =>
        ["proto", "json"].map((codec): RawCall => {
          const isBare = protocol === "connect" && path === callPath;
          const type =
            protocol === "connect"
              ? `application/${isBare ? "" : "connect+"}${codec}`
              : `${protocol}+${codec}`;
          const message = Buffer.from(
            codec === "json" ? JSON.stringify(script) : toBinary(StructSchema, toStruct(script)),
          );
          return {
            httpVersion,
            method: "POST",
            path,
            headers: [
              ["content-type", type],
              ["x-one", "request"],
            ],
            body: isBare ? message : envelope(message),
          };
        }),
      ),
    ),
  );
}
