import assert from "node:assert/strict";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GetUserResponseSchema, RegisterUserRequestSchema } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { connectRaw, envelope, requestHttp2, splitEnvelopes } from "./support/raw-http.ts";
import { useTestApp } from "./support/test-app.ts";

type RequestBody = Parameters<typeof fetch>[1] extends { body?: infer Body } | undefined
  ? NonNullable<Body>
  : never;

const [embedded] = backends;
const service = "/users.v1.UserService";
const maxMessageBytes = 64 * 1024;

describe("the one port", () => {
  assert.ok(embedded);
  const app = useTestApp(embedded, { maxMessageBytes });

  async function post(
    path: string,
    contentType: string,
    body: RequestBody,
    headers: Record<string, string> = {},
  ) {
    return fetch(app.url + path, {
      method: "POST",
      headers: { "content-type": contentType, ...headers },
      body,
    });
  }
  const json = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    post(service + path, "application/json", JSON.stringify(body), headers);

  test("probes answer", async () => {
    for (const path of ["/healthz", "/readyz"]) {
      assert.equal((await fetch(app.url + path)).status, 200);
    }
  });

  test("a Connect GET answers the side-effect-free calls and no other", async () => {
    await json("/RegisterUser", { email: "get@example.com", username: "getter" });
    const message = encodeURIComponent(JSON.stringify({ username: "getter" }));
    const query = `?connect=v1&encoding=json&message=${message}`;
    const found = await fetch(`${app.url}${service}/GetUser${query}`);
    assert.equal(((await found.json()) as { user: { email: string } }).user.email, "get@example.com");
    assert.equal((await fetch(`${app.url}${service}/RegisterUser${query}`)).status, 405);
    const broken = await fetch(
      `${app.url}${service}/GetUser?connect=v1&encoding=proto&base64=1&message=%25%25`,
    );
    assert.equal(broken.status, 400);
    assert.equal(((await broken.json()) as { code: string }).code, "invalid_argument");
  });

  test("a preface that arrives byte by byte is still HTTP/2, and a request still HTTP/1.1", async () => {
    for (const [first, answer] of [
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Buffer.of(0, 0)],
      ["POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", Buffer.from("HTTP/1.1 404")],
    ] as const) {
      const socket = connectRaw(app.url);
      socket.setNoDelay(true);
      for (const byte of Buffer.from(first, "latin1")) {
        await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
      }
      const [received] = (await once(socket, "data")) as [Buffer];
      assert.deepEqual(received.subarray(0, answer.length), answer);
      socket.destroy();
    }
  });

  test("gRPC-Web text serves unary calls over both HTTP versions, padded frame by frame", async () => {
    await json("/RegisterUser", { email: "text@example.com", username: "texter" });
    // {username: "texter"}, its frame's header and its message encoded apart, as some clients do.
    const frame = envelope(Buffer.from([0x1a, 6, ...Buffer.from("texter")]));
    const body = frame.subarray(0, 5).toString("base64") + frame.subarray(5).toString("base64");
    const type = "application/grpc-web-text+proto";
    const http1 = await post(`${service}/GetUser`, type, body);
    assert.equal(http1.headers.get("content-type"), type);
    const http2 = await requestHttp2(app.url, `${service}/GetUser`, { "content-type": type }, body);
    assert.equal(http2.headers["content-type"], type);
    for (const encoded of [await http1.text(), http2.body]) {
      const decoded = Buffer.concat(
        (encoded.match(/[^=]+={0,2}/g) ?? []).map((part) => Buffer.from(part, "base64")),
      );
      const [message, trailers] = splitEnvelopes(decoded);
      assert.ok(message && trailers);
      assert.equal(fromBinary(GetUserResponseSchema, message.data).user?.email, "text@example.com");
      assert.equal(trailers.flags, 0x80);
      assert.match(trailers.data.toString(), /grpc-status: ?0/);
    }
  });

  test("a gRPC-Web text body that is no base64 is INVALID_ARGUMENT", async () => {
    for (const body of ["AAAA!AAA", "AAAAA", "=AAA", "A===AAAA"]) {
      const response = await post(`${service}/GetUser`, "application/grpc-web-text+proto", body);
      const decoded = Buffer.from(await response.text(), "base64").toString("latin1");
      assert.match(decoded, /grpc-status: ?3/, body);
    }
  });

  test("malformed protobuf and JSON are INVALID_ARGUMENT in every protocol", async () => {
    const garbage = Buffer.from("xyz");
    const connect = await post(`${service}/GetUser`, "application/proto", garbage);
    assert.equal(connect.status, 400);
    assert.equal(((await connect.json()) as { code: string }).code, "invalid_argument");
    const connectJson = await post(`${service}/GetUser`, "application/json", "{");
    assert.equal(((await connectJson.json()) as { code: string }).code, "invalid_argument");
    for (const [type, body] of [
      ["application/grpc", envelope(garbage)],
      ["application/grpc+json", envelope("{")],
    ] as const) {
      const grpc = await requestHttp2(
        app.url,
        `${service}/GetUser`,
        { "content-type": type, te: "trailers" },
        body,
      );
      assert.equal(grpc.trailers["grpc-status"], "3");
    }
    const web = await post(`${service}/GetUser`, "application/grpc-web+proto", envelope(garbage));
    assert.match(Buffer.from(await web.arrayBuffer()).toString("latin1"), /grpc-status: ?3/);
    const stream = await post(`${service}/StreamUserEvents`, "application/connect+proto", envelope(garbage));
    assert.match(Buffer.from(await stream.arrayBuffer()).toString("latin1"), /"code":"invalid_argument"/);
    const compression = await post(`${service}/GetUser`, "application/json", "no gzip", {
      "content-encoding": "gzip",
    });
    assert.equal(((await compression.json()) as { code: string }).code, "invalid_argument");
  });

  test("a message over the limit is RESOURCE_EXHAUSTED, compressed or not, bombs included", async () => {
    const large = toBinary(
      RegisterUserRequestSchema,
      create(RegisterUserRequestSchema, { email: "x".repeat(maxMessageBytes) }),
    );
    const bomb = Buffer.alloc(256 * 1024 ** 2);
    for (const [headers, body] of [
      [{}, large],
      [{ "content-encoding": "gzip" }, gzipSync(bomb)],
      [{ "content-encoding": "br" }, brotliCompressSync(bomb.subarray(0, 64 * 1024 ** 2))],
    ] as const) {
      const connect = await post(`${service}/RegisterUser`, "application/proto", Buffer.from(body), headers);
      assert.equal(connect.status, 429);
      assert.equal(((await connect.json()) as { code: string }).code, "resource_exhausted");
    }
    for (const [headers, frame] of [
      [{}, envelope(large)],
      [{ "grpc-encoding": "gzip" }, envelope(gzipSync(bomb), 1)],
    ] as const) {
      const grpc = await requestHttp2(
        app.url,
        `${service}/RegisterUser`,
        { "content-type": "application/grpc", te: "trailers", ...headers },
        frame,
      );
      assert.equal(grpc.trailers["grpc-status"], "8");
    }
  });

  test("an unknown RPC is UNIMPLEMENTED in the protocol it was called by; an unknown path is 404", async () => {
    const path = `${service}/Nothing`;
    const connect = await post(path, "application/json", "{}");
    assert.equal(connect.status, 404);
    assert.equal(((await connect.json()) as { code: string }).code, "unimplemented");
    const grpc = await requestHttp2(app.url, path, { "content-type": "application/grpc", te: "trailers" });
    assert.equal(grpc.headers[":status"], 200);
    assert.equal(grpc.headers["grpc-status"], "12");
    const web = await post(path, "application/grpc-web+proto", envelope(""));
    assert.equal(web.status, 200);
    assert.equal(web.headers.get("grpc-status"), "12");
    assert.equal((await fetch(`${app.url}/nowhere`)).status, 404);
    assert.equal((await post(`${service}/GetUser`, "text/plain", "x")).status, 415);
  });

  test("an expired deadline is DEADLINE_EXCEEDED in every protocol, and a stream's deadline ends it", async () => {
    const timeout = { "connect-timeout-ms": "40" };
    const type = "application/connect+json";
    const stream = await post(`${service}/StreamUserEvents`, type, envelope("{}"), timeout);
    const [end] = splitEnvelopes(Buffer.from(await stream.arrayBuffer()));
    assert.equal(JSON.parse(end?.data.toString() ?? "").error.code, "deadline_exceeded");
    const grpc = await requestHttp2(
      app.url,
      `${service}/StreamUserEvents`,
      { "content-type": "application/grpc", te: "trailers", "grpc-timeout": "40m" },
      envelope(""),
    );
    assert.equal(grpc.trailers["grpc-status"], "4");
    const web = await post(`${service}/StreamUserEvents`, "application/grpc-web+proto", envelope(""), {
      "grpc-timeout": "40m",
    });
    assert.match(Buffer.from(await web.arrayBuffer()).toString("latin1"), /grpc-status: ?4/);
  });

  test("a timeout too long for a timer is no timeout at once", async () => {
    for (const grpcTimeout of ["99999999H", "2147484S", "99999999m"]) {
      const headers = { "content-type": "application/grpc", te: "trailers", "grpc-timeout": grpcTimeout };
      const unknown = envelope(Buffer.from([0x1a, 6, ...Buffer.from("nobody")]));
      const { trailers } = await requestHttp2(app.url, `${service}/GetUser`, headers, unknown);
      assert.equal(trailers["grpc-status"], "5", grpcTimeout);
    }
    const connect = await json("/GetUser", { username: "nobody" }, { "connect-timeout-ms": "9999999999" });
    assert.equal(connect.status, 404);
  });

  test("a request without a host is answered, not left waiting", async () => {
    const socket = connectRaw(app.url);
    socket.write(
      `POST ${service}/GetUser HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    );
    assert.match(await text(socket), /^HTTP\/1\.1 400/);
    const http2 = await requestHttp2(app.url, `${service}/GetUser`, { ":authority": "x:99999" }, "{}");
    assert.equal(http2.headers[":status"], 400);
  });

  test("pages of this machine may call, with the headers of all three protocols; others may not", async () => {
    async function preflight(origin: string) {
      return fetch(`${app.url}${service}/GetUser`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers":
            "content-type,x-grpc-web,grpc-timeout,authorization,connect-protocol-version",
        },
      });
    }
    for (const origin of ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173"]) {
      const { headers } = await preflight(origin);
      assert.equal(headers.get("access-control-allow-origin"), origin);
      const allowed = headers.get("access-control-allow-headers")?.toLowerCase().split(/, */) ?? [];
      for (const name of [
        "content-type",
        "x-grpc-web",
        "grpc-timeout",
        "authorization",
        "connect-protocol-version",
      ]) {
        assert.ok(allowed.includes(name), name);
      }
      const call = await json("/GetUser", { username: "nobody" }, { origin });
      assert.equal(call.headers.get("access-control-allow-origin"), origin);
      const exposed = call.headers.get("access-control-expose-headers")?.toLowerCase() ?? "";
      assert.match(exposed, /grpc-status.*grpc-message/);
    }
    for (const origin of ["https://evil.example", "http://localhost.evil.example", "null"]) {
      assert.equal((await preflight(origin)).headers.get("access-control-allow-origin"), null, origin);
    }
  });
});

describe("the origins of CORS_ORIGINS", () => {
  assert.ok(embedded);
  const app = useTestApp(embedded, { corsOrigins: ["https://app.example.com"] });

  test("are allowed, and loopback is no longer", async () => {
    for (const [origin, allowed] of [
      ["https://app.example.com", "https://app.example.com"],
      ["http://localhost:3000", null],
    ] as const) {
      const response = await fetch(`${app.url}/readyz`, { headers: { origin } });
      assert.equal(response.headers.get("access-control-allow-origin"), allowed);
    }
  });
});
