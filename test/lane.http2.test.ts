import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { describe, type TestContext, test } from "node:test";
import { cleanUpAfter } from "./support/clean-up.ts";
import { openFrameConnection } from "./support/http2-frames.ts";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { openHostPair, openTestHost } from "./support/server-pair.ts";
import { withDeadline } from "./support/with-deadline.ts";

const maxMessageBytes = 65_536;
const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = http2.constants;

async function connect(t: TestContext, url: string): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(url);
  session.on("error", () => {});
  cleanUpAfter(t, () => session.destroy());
  await once(session, "remoteSettings");
  return session;
}

function post(
  session: http2.ClientHttp2Session,
  path: string,
  type: string,
  more: http2.OutgoingHttpHeaders = {},
  options: http2.ClientSessionRequestOptions = {},
): http2.ClientHttp2Stream {
  const stream = session.request(
    { ":method": "POST", ":path": path, "content-type": type, ...more },
    options,
  );
  stream.on("error", () => {});
  return stream;
}

const closed = (stream: http2.ClientHttp2Stream) =>
  stream.closed ? Promise.resolve() : withDeadline("the stream's end", once(stream, "close"), 10_000);

describe("over HTTP/2, the fast lane", () => {
  test("answers early with its whole answer, then asks for no more and serves the connection on", async (t) => {
    const url = await openTestHost(t, probeRoutes(scriptedProbe), { maxMessageBytes });
    const session = await connect(t, url);
    for (const type of ["application/grpc", "application/grpc-web", "application/connect+proto"]) {
      const stream = post(session, streamPath, type);
      let trailers: http2.IncomingHttpHeaders = {};
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.write(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]));
      const body = await text(stream);
      assert.match(
        JSON.stringify(trailers) + body,
        /grpc-status": ?"?8|grpc-status: 8|resource_exhausted/,
        type,
      );
      await closed(stream);
      assert.equal(stream.rstCode, NGHTTP2_NO_ERROR);
    }
    const next = post(session, callPath, "application/json");
    next.end('{"padding":3}');
    assert.match(await text(next), /"xxx"/);
  });

  test("never runs a call that is reset before its request is whole, with whatever code", async (t) => {
    const seen: string[] = [];
    const url = await openTestHost(
      t,
      probeRoutes({
        call(_request, context) {
          seen.push(context.requestHeader.get("x-name") ?? "");
          return toStruct({});
        },
      }),
    );
    const connection = openFrameConnection(t, url);
    [NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_PROTOCOL_ERROR].forEach((code, index) => {
      const id = 2 * index + 1;
      connection.headers(id, {
        ":path": callPath,
        "content-type": "application/json",
        "x-name": `reset ${code}`,
      });
      connection.data(id, "{}");
      connection.reset(id, code);
    });
    await connection.flushed();
    const last = post(await connect(t, url), callPath, "application/json", { "x-name": "whole" });
    last.end("{}");
    assert.equal(await text(last), "{}");
    assert.deepEqual(seen, ["whole"]);
  });

  test("leaves out header and trailer fields that HTTP/2 forbids, which connect-es cuts the answer off for", async (t) => {
    const pair = await openHostPair(t, probeRoutes(scriptedProbe));
    const session = await connect(t, pair.lane);
    const fields = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"];
    const pairs = [...fields.map((name) => [name, "close"]), ["x-kept", "yes"]];
    for (const script of [{ headers: pairs }, { trailers: pairs }, { fail: "connect", metadata: pairs }]) {
      for (const [path, type] of [
        [callPath, "application/json"],
        [callPath, "application/grpc+json"],
        [streamPath, "application/grpc+json"],
      ] as const) {
        const json = JSON.stringify(script);
        const stream = post(session, path, type);
        const received: object[] = [];
        for (const event of ["response", "trailers"]) stream.on(event, (got) => received.push(got));
        stream.end(type === "application/json" ? json : envelope(json));
        stream.resume();
        await closed(stream);
        const names = Object.keys(Object.assign({}, ...received));
        assert.ok(
          names.some((name) => name.endsWith("x-kept")),
          `${json} ${names}`,
        );
        assert.ok(!fields.some((name) => names.includes(name)), String(names));
      }
    }
    const cutOff = post(await connect(t, pair.reference), callPath, "application/json");
    cutOff.end(JSON.stringify({ headers: pairs }));
    cutOff.resume();
    await closed(cutOff);
  });

  test("treats a wrong content-length as connect-es does", async (t) => {
    const pair = await openHostPair(t, probeRoutes(scriptedProbe), { maxMessageBytes });
    for (const length of [1, 3, 100, 65_537]) {
      const outcomes = await Promise.all(
        [pair.lane, pair.reference].map(async (url) => {
          const stream = post(await connect(t, url), callPath, "application/json", {
            "content-length": length,
          });
          let status: unknown;
          stream.on("response", (headers) => {
            status = headers[":status"];
          });
          stream.end("{}");
          const body = await text(stream).catch(() => "");
          await closed(stream);
          return { status, body, resetCode: stream.rstCode };
        }),
      );
      assert.deepEqual(outcomes[0], outcomes[1], String(length));
    }
  });

  test("ignores trailers from the client", async (t) => {
    const session = await connect(t, await openTestHost(t, probeRoutes(scriptedProbe)));
    const stream = post(session, callPath, "application/json", {}, { waitForTrailers: true } as object);
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-late": "1", "grpc-timeout": "0n" }));
    stream.end('{"padding":3}');
    assert.match(await text(stream), /"xxx"/);
  });

  test("serves a connection on whose streams were left, one after another, with much unread", async (t) => {
    const session = await connect(t, await openTestHost(t, probeRoutes(scriptedProbe)));
    for (let left = 0; left < 100; left++) {
      const stream = post(session, streamPath, "application/connect+json");
      stream.end(envelope('{"messages":1,"padding":200000}'));
      await once(stream, "response");
      stream.close(NGHTTP2_CANCEL);
      stream.resume();
      await closed(stream);
      assert.equal(stream.rstCode, NGHTTP2_CANCEL);
    }
    const next = post(session, callPath, "application/json");
    next.end('{"padding":3}');
    assert.match(await text(next), /"xxx"/);
  });

  test("serves 1,000 streams at once on one connection", async (t) => {
    const { promise: everyone, resolve: letGo } = Promise.withResolvers<void>();
    let present = 0;
    const url = await openTestHost(
      t,
      probeRoutes({
        async *stream() {
          yield toStruct({ at: "start" });
          if (++present === 1_000) letGo();
          await everyone;
          yield toStruct({ at: "end" });
        },
      }),
      { maxStreamsPerConnection: 1_000 },
    );
    const session = await connect(t, url);
    const texts = await withDeadline(
      "1,000 streams",
      Promise.all(
        Array.from({ length: 1_000 }, () => {
          const stream = post(session, streamPath, "application/connect+json");
          stream.end(envelope("{}"));
          return text(stream);
        }),
      ),
    );
    const expected = [envelope('{"at":"start"}'), envelope('{"at":"end"}'), envelope("{}", 2)].join("");
    assert.deepEqual(new Set(texts), new Set([expected]));
  });
});
