import fc from "fast-check";
import { http1Request } from "./raw-socket.ts";

const startLines = fc.constantFrom(
  "POST /users.v1.UserService/GetUser HTTP/1.1",
  "POST /users.v1.UserService/GetUser HTTP/1.1",
  "POST /users.v1.UserService/StreamUserEvents HTTP/1.1",
  "POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo HTTP/1.1",
  "POST /users.v1.UserService/GetUser HTTP/1.0",
  "POST /users.v1.UserService/GetUser HTTP/2.0",
  "POST /users.v1.UserService/GetUser HTTP/9.9",
  "POST /users.v1.UserService/GetUser",
  "POST http://other.test/users.v1.UserService/GetUser HTTP/1.1",
  "POST //users.v1.UserService/GetUser HTTP/1.1",
  "POST http://[::1/x HTTP/1.1",
  "POST * HTTP/1.1",
  "POST /\0 HTTP/1.1",
  "POST /\u00e9 HTTP/1.1",
  "POST  /two  spaces HTTP/1.1",
  "CONNECT other.test:443 HTTP/1.1",
  "OPTIONS * HTTP/1.1",
  "GET /users.v1.UserService/GetUser?connect=v1&encoding=json&message=%ff HTTP/1.1",
  "GET /users.v1.UserService/GetUser?connect=v1&encoding=json&base64=1&message=%%% HTTP/1.1",
  "GET /healthz HTTP/1.1",
  "PRI * HTTP/2.1",
  "PR",
  "get / http/1.1",
  "\r\n\r\nGET /healthz HTTP/1.1",
  `GET /${"x".repeat(20_000)} HTTP/1.1`,
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
);

const fields = fc.constantFrom(
  "host: fuzz.test",
  "host: fuzz.test",
  "host: other.test",
  "host: not a host",
  "host:",
  "content-type: application/json",
  "content-type: application/grpc",
  "content-type: application/connect+json",
  "content-type: application/grpc-web-text",
  "content-length: 2",
  "content-length: 2",
  "content-length: 3",
  "content-length: +2",
  "content-length: 0x2",
  "content-length: 2, 2",
  "content-length: 99999999999999999999",
  "content-length: -1",
  "content-length : 2",
  "transfer-encoding: chunked",
  "transfer-encoding: chunked",
  "transfer-encoding: chunked, identity",
  "transfer-encoding: xchunked",
  "transfer-encoding : chunked",
  "Transfer-Encoding:\tchunked",
  "transfer-encoding: gzip, chunked",
  "trailer: grpc-status",
  "connection: close",
  "connection: keep-alive, upgrade",
  "upgrade: h2c",
  "upgrade: websocket",
  "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA",
  "expect: 100-continue",
  "expect: 200-ok",
  "te: trailers",
  " folded: line",
  "no colon",
  ": no name",
  "x\0y: z",
  "x-value: a\0b",
  "x-obs: \u0080\u00ff",
  "authorization: Bearer x",
  "connect-timeout-ms: 50",
  `x-long: ${"x".repeat(20_000)}`,
);

const lineEnds = fc.oneof(
  { weight: 8, arbitrary: fc.constant("\r\n") },
  fc.constantFrom("\n", "\r", "\r\r\n", "\n\r"),
);

const bodies = fc.oneof(
  fc.constantFrom(
    "{}",
    "",
    "2\r\n{}\r\n0\r\n\r\n",
    "2\n{}\n0\n\n",
    "2;a=b\r\n{}\r\n0\r\ngrpc-status: 0\r\n\r\n",
    "02\r\n{}\r\n0\r\n\r\n",
    "0x2\r\n{}\r\n0\r\n\r\n",
    "-1\r\n{}\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\n{}\r\n",
    "2\r\n{}XX0\r\n\r\n",
    "ffff\r\n{}",
    "{}GET /healthz HTTP/1.1\r\nhost: smuggled\r\n\r\n",
    "0\r\n\r\nPOST /users.v1.UserService/GetUser HTTP/1.1\r\nhost: smuggled\r\ncontent-length: 5\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);

const framings = fc.constantFrom(
  (body: string) => [`content-length: ${body.length}`, "", body],
  (body: string) => ["transfer-encoding: chunked", "", `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
  (body: string) => ["", "", body],
);

const paths = fc.constantFrom(
  "/users.v1.UserService/GetUser",
  "/users.v1.UserService/StreamUserEvents",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/nowhere.v1.Service/Call",
);

/** Requests in order but for a field or two. */
const nearlyGood = fc
  .tuple(
    paths,
    fc.constantFrom("json", "grpc", "grpc-web", "connect+json", "grpc-web-text", "x"),
    fc.array(fields, { maxLength: 2 }),
    framings,
    fc.oneof(fc.constantFrom("{}", "\0\0\0\0\0", "\0\0\0\0\x02{}", "AAAAAAA="), bodies),
  )
  .map(([path, type, extras, frame, body]) => {
    const [framing = "", ...rest] = frame(body);
    const lines = ["host: fuzz.test", `content-type: application/${type}`, ...extras, framing].filter(
      Boolean,
    );
    return Buffer.from([`POST ${path} HTTP/1.1`, ...lines, ...rest].join("\r\n"), "latin1");
  });

const malformed = fc
  .tuple(startLines, fc.array(fields, { maxLength: 6 }), lineEnds, lineEnds, bodies)
  .map(([start, list, usual, last, body]) =>
    Buffer.from(`${[start, ...list].join(usual)}${usual}${last}${body}`, "latin1"),
  );

const requests = fc.oneof({ weight: 3, arbitrary: nearlyGood }, { weight: 2, arbitrary: malformed });

const good = http1Request("/users.v1.UserService/GetUser", "application/json", '{"username":"nobody"}');

/** What a client sends over one connection: requests, or what is meant to be taken for some; perhaps not to the end. */
export const http1Conversations: fc.Arbitrary<Buffer[]> = fc
  .tuple(
    fc.array(fc.oneof({ weight: 5, arbitrary: requests }, fc.constant(good)), { minLength: 1, maxLength: 3 }),
    fc.option(fc.nat(60), { freq: 2, nil: undefined }),
    fc.boolean(),
  )
  .map(([sent, cut, inOne]) => {
    const chunks = inOne ? [Buffer.concat(sent)] : [...sent];
    const last = chunks.pop() as Buffer;
    return [...chunks, cut === undefined ? last : last.subarray(0, Math.max(0, last.length - cut))];
  });
