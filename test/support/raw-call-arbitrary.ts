import { gzipSync } from "node:zlib";
import { toBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Script, toStruct } from "./probe-script.ts";
import { callPath, streamPath } from "./probe-service.ts";
import type { RawCall } from "./raw-call.ts";
import { envelope } from "./raw-http.ts";

type Field = readonly [name: string, value: string];

/** A request, and how its answer is to be read. */
export interface GeneratedCall extends RawCall {
  readonly isEnveloped: boolean;
}

const names = ["x-one", "x-two", "one-bin", "x-three", "trailer-like", "set-cookie", "vary"];
const values = fc.oneof(
  fc.constantFrom("", "a, b", "AAEC", "AAE=, AgM=", "é\xff", "a\tb"),
  fc.string({ maxLength: 12 }).filter((text) => text.trim() === text && /^[\x20-\x7e]*$/.test(text)),
);
const pairs = fc.array(fc.tuple(fc.constantFrom(...names), values), { maxLength: 4 });
const often = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const scripts: fc.Arbitrary<Script> = fc.record(
  {
    headers: pairs,
    trailers: pairs,
    messages: fc.nat(3),
    padding: fc.constantFrom(0, 10, 1_000, 3_000, 70_000),
    fail: fc.constantFrom("connect", "wire", "domain", "error", "string", "unserializable"),
    code: fc.constantFrom(1, 2, 5, 8, 13, 16),
    text: fc.oneof(fc.constantFrom("", "ünïcode\n%", "x".repeat(2_000)), fc.string({ maxLength: 20 })),
    metadata: pairs.map((all) => [...all, ["grpc-status", "7"], ["content-type", "text/plain"]]),
    details: fc.boolean(),
  },
  { requiredKeys: [], noNullPrototype: true },
) as fc.Arbitrary<Script>;

const protocols = {
  grpc: { type: "application/grpc", timeout: "grpc-timeout", encoding: "grpc-encoding", endFlag: 0x80 },
  "grpc-web": {
    type: "application/grpc-web",
    timeout: "grpc-timeout",
    encoding: "grpc-encoding",
    endFlag: 0x80,
  },
  connect: {
    type: "application/",
    timeout: "connect-timeout-ms",
    encoding: "content-encoding",
    endFlag: 2,
  },
  connectStream: {
    type: "application/connect",
    timeout: "connect-timeout-ms",
    encoding: "connect-content-encoding",
    endFlag: 2,
  },
} as const;

const bodies = [
  "message",
  "garbage",
  "truncated envelope",
  "truncated head",
  "two messages",
  "message and garbage",
  "empty message",
  "nothing",
  "no body",
  "end flag before",
  "end flag after",
  "end flag alone",
  "odd flags",
  "compressed flag",
  "gzip",
  "too large",
  "claims too large",
  "byte order mark",
] as const;

const spellings = ["plain", "charset", "upper case", "unknown", "none", "other protocol"] as const;

/** Any request to the probe's RPCs that a well- or ill-behaved client may send in one piece. */
export const generatedCalls: fc.Arbitrary<GeneratedCall> = fc
  .record(
    {
      protocol: fc.constantFrom("grpc", "grpc-web", "connect"),
      isStream: fc.boolean(),
      isJson: fc.boolean(),
      httpVersion: fc.constantFrom(1, 2),
      method: fc.oneof(
        { weight: 12, arbitrary: fc.constant("POST") },
        { weight: 1, arbitrary: fc.constantFrom("GET", "PUT", "OPTIONS", "HEAD") },
      ),
      suffix: fc.oneof(
        { weight: 12, arbitrary: fc.constant("") },
        { weight: 1, arbitrary: fc.constantFrom("?x=1", "/", "X") },
      ),
      spelling: fc.oneof(
        { weight: 4, arbitrary: fc.constant("plain") },
        { weight: 1, arbitrary: fc.constantFrom(...spellings) },
      ),
      timeout: often("", "ok", "expired", "invalid", "huge", "repeated"),
      metadata: pairs,
      encoding: often("", "identity", "gzip", "unknown"),
      accept: often("", "gzip", "br;q=0.5, gzip", "identity", "unknown", "gzip"),
      body: fc.oneof(
        { weight: 2, arbitrary: fc.constant("message") },
        { weight: 1, arbitrary: fc.constantFrom(...bodies) },
      ),
      origin: often("", "http://localhost:3000", "https://evil.example", "null"),
      script: scripts,
    },
    { noNullPrototype: true },
  )
  .map((choice) => makeCall(choice as Choice));

interface Choice {
  readonly protocol: "grpc" | "grpc-web" | "connect";
  readonly isStream: boolean;
  readonly isJson: boolean;
  readonly httpVersion: 1 | 2;
  readonly method: string;
  readonly suffix: string;
  readonly spelling: (typeof spellings)[number];
  readonly timeout: string;
  readonly metadata: Field[];
  readonly encoding: string;
  readonly accept: string;
  readonly body: (typeof bodies)[number];
  readonly origin: string;
  readonly script: Script;
}

function makeCall(choice: Choice): GeneratedCall {
  const { isStream, httpVersion, method, suffix, origin, metadata } = choice;
  const protocol = choice.protocol === "connect" && isStream ? "connectStream" : choice.protocol;
  const { timeout, encoding } = protocols[protocol];
  const isEnveloped = protocol !== "connect";
  const type = makeContentType(choice, protocols[protocol].type);
  const acceptEncoding = encoding.replace(
    /(^|-)(content-)?encoding$/,
    (_, dash: string) => `${dash}accept-encoding`,
  );
  const timeoutValue = makeTimeout(choice.timeout, timeout === "grpc-timeout");
  const fields: Field[] = [
    ...(type === undefined ? [] : [["content-type", type] as const]),
    ...timeoutValue.map((value): Field => [timeout, value]),
    ...(choice.encoding === "" ? [] : [[encoding, choice.encoding] as const]),
    ...(choice.accept === "" ? [] : [[acceptEncoding, choice.accept] as const]),
    ...(origin === "" ? [] : [["origin", origin] as const]),
    ["x-request-id", "the-request"],
    ...metadata.filter(([name]) => name !== "set-cookie"),
  ];
  return {
    httpVersion,
    method,
    path: (isStream ? streamPath : callPath) + suffix,
    headers: fields,
    body:
      method === "GET" || method === "HEAD"
        ? undefined
        : makeBody(choice, protocols[protocol].endFlag, isEnveloped),
    isEnveloped,
  };
}

function makeContentType({ spelling, isJson }: Choice, prefix: string): string | undefined {
  const codec = isJson ? "json" : "proto";
  const type = prefix.endsWith("/") ? prefix + codec : `${prefix}+${codec}`;
  switch (spelling) {
    case "plain":
      return type;
    case "charset":
      return `${type}; charset=utf-8`;
    case "upper case":
      return type.toUpperCase();
    case "unknown":
      return `${prefix}+yaml`;
    case "other protocol":
      return prefix.endsWith("/") ? `application/connect+${codec}` : `application/${codec}`;
    case "none":
      return undefined;
  }
}

function makeTimeout(kind: string, isGrpc: boolean): string[] {
  switch (kind) {
    case "ok":
      return [isGrpc ? "30S" : "30000"];
    case "expired":
      return [isGrpc ? "0n" : "0"];
    case "invalid":
      return [isGrpc ? "12" : "-1"];
    case "huge":
      return [isGrpc ? "99999999H" : "9999999999"];
    case "repeated":
      return isGrpc ? ["20S", "30S"] : ["20000", "30000"];
    default:
      return [];
  }
}

function makeBody(
  { body, isJson, timeout, script }: Choice,
  endFlag: number,
  isEnveloped: boolean,
): Buffer | undefined {
  const encode = (value: object) =>
    Buffer.from(isJson ? JSON.stringify(value) : toBinary(StructSchema, toStruct(value)));
  const message = encode(script);
  const garbage = Buffer.from("xyz");
  const end = envelope("{}", endFlag);
  const wrap = (bytes: Buffer, flags = 0) => (isEnveloped ? envelope(bytes, flags) : bytes);
  // A late request is refused for being late or for what else is wrong with it, whichever is seen first; and
  // connect-es starts its handler, which the lane does not, so that what the handler would set is no matter.
  if (timeout === "expired") return wrap(Buffer.from(isJson ? "{}" : ""));
  switch (body) {
    case "message":
      return wrap(message);
    case "garbage":
      return wrap(garbage);
    case "truncated envelope":
      return wrap(message).subarray(0, -1);
    case "truncated head":
      return Buffer.concat([wrap(message), Buffer.of(0, 0)]);
    case "two messages":
      return Buffer.concat([wrap(message), wrap(message)]);
    case "message and garbage":
      return Buffer.concat([wrap(message), wrap(garbage)]);
    case "empty message":
      return wrap(Buffer.alloc(0));
    case "nothing":
      return Buffer.alloc(0);
    case "no body":
      return undefined;
    case "end flag before":
      return Buffer.concat([end, wrap(message)]);
    case "end flag after":
      return Buffer.concat([wrap(message), end]);
    case "end flag alone":
      return end;
    case "odd flags":
      return wrap(message, 0x44);
    case "compressed flag":
      return wrap(message, 1);
    case "gzip":
      return wrap(gzipSync(message), 1);
    case "too large":
      return wrap(encode({ padding: "x".repeat(70_000) }));
    case "claims too large":
      return isEnveloped ? Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1]) : message;
    case "byte order mark":
      return wrap(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), message]));
  }
}
