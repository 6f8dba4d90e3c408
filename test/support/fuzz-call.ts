import { gzipSync } from "node:zlib";
import type { DescMethod } from "@bufbuild/protobuf";
import fc from "fast-check";
import { credentialsOf, type Field, type KnownCredentials, type Standing } from "./fuzz-credentials.ts";
import { type EncodedMessage, messagesOf } from "./fuzz-message.ts";
import type { Vocabulary } from "./fuzz-text.ts";
import { envelope } from "./raw-http.ts";

/** A request, exactly as it is to be sent, and what is known of it. */
export interface FuzzCall {
  readonly method: DescMethod;
  readonly httpVersion: 1 | 2;
  readonly verb: string;
  readonly path: string;
  readonly headers: readonly Field[];
  readonly body: Buffer;
  readonly standing: Standing;
}

/** What a program's callers know. */
export interface FuzzKnowledge {
  readonly vocabulary: Vocabulary;
  readonly credentials: KnownCredentials;
}

const weighted = <T>(usual: T, weight: number, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });

const types = ["grpc", "grpc-web", "grpc-web-text", "connect"] as const;
type WireType = (typeof types)[number];

/** Fields that any client may add, in all forms that HTTP allows and some that it does not. */
const extraFields: fc.Arbitrary<Field> = fc.oneof(
  fc.tuple(
    fc.constant("idempotency-key"),
    fc.constantFrom(
      "",
      "a",
      "same",
      "same",
      "\u00e9",
      "a b",
      "x".repeat(255),
      "x".repeat(256),
      "__proto__",
      ",",
      '"a"',
    ),
  ),
  fc.tuple(
    fc.constant("x-request-id"),
    fc.constantFrom("", "r1", "\u00ff", "x".repeat(5_000), "a\tb", "a, b", "%00"),
  ),
  fc.tuple(
    fc.constant("x-forwarded-for"),
    fc.constantFrom(
      "",
      ",,,",
      "1.2.3.4",
      "unknown",
      "::1%eth0",
      "[::1]:5",
      "1.2.3.4, 999.1.1.1",
      "1,".repeat(2_000),
    ),
  ),
  fc.tuple(
    fc.constantFrom("grpc-timeout", "connect-timeout-ms"),
    fc.constantFrom(
      "",
      "0",
      "0n",
      "1m",
      "100m",
      "12",
      "-1",
      "99999999H",
      "999999999S",
      "NaN",
      "1e3",
      "5, 5",
      "200",
      "9999999999",
      "99999999999",
    ),
  ),
  fc.tuple(
    fc.constantFrom("content-encoding", "grpc-encoding", "connect-content-encoding", "transfer-encoding-x"),
    fc.constantFrom("", "identity", "gzip", "br", "zstd", "gzip, gzip", "\u00e9", "constructor"),
  ),
  fc.tuple(
    fc.constantFrom("accept-encoding", "grpc-accept-encoding", "connect-accept-encoding"),
    fc.constantFrom(
      "",
      "gzip",
      "br",
      "*",
      "gzip;q=0",
      "identity",
      "gzip, br, x",
      "constructor",
      ",".repeat(1_000),
    ),
  ),
  fc.tuple(fc.constant("connect-protocol-version"), fc.constantFrom("1", "2", "", "\u00e9")),
  fc.tuple(
    fc.constant("content-type"),
    fc.constantFrom("", "application/grpc", "application/json; charset=latin1", "x", "a/b/c;;="),
  ),
  fc.tuple(
    fc.constant("origin"),
    fc.constantFrom("null", "", "http://localhost:1", "http://a\u00e9", "x".repeat(3_000)),
  ),
  fc.tuple(fc.constant("te"), fc.constant("trailers")),
  fc.tuple(fc.constant("user-agent"), fc.constantFrom("", "\u00e9", "grpc-go/1.0", "x".repeat(9_000))),
  fc.tuple(
    fc.constantFrom("x-bin", "grpc-trace-bin", "cookie"),
    fc.constantFrom("", "AAA", "====", "\u00e9", "a=b; a=c"),
  ),
  fc.tuple(fc.constantFrom("expect"), fc.constantFrom("100-continue", "x")),
  fc.tuple(
    fc.constantFrom("__proto__", "constructor", "x-http-method-override", "upgrade-x"),
    fc.constant("DELETE"),
  ),
);

/** What becomes of a body on its way. */
const damages = weighted(
  "none",
  6,
  "flip",
  "cut",
  "insert",
  "twice",
  "garbage",
  "gzip",
  "flags",
  "length",
  "nothing",
  "head",
);

/** Any request to the RPCs. */
export function callsTo(methods: readonly DescMethod[], knowledge: FuzzKnowledge): fc.Arbitrary<FuzzCall> {
  const credentials = credentialsOf(knowledge.credentials);
  const form = fc.record(
    {
      httpVersion: fc.constantFrom(1 as const, 2 as const),
      type: fc.constantFrom(...types),
      isJson: fc.boolean(),
      isGet: fc.boolean(),
      verb: weighted("POST", 20, "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"),
      suffix: weighted("", 20, "?a=%", "/", "%00", "//", "?".repeat(3_000), "#a"),
      damage: damages,
      at: fc.nat(65_535),
      garbage: fc.uint8Array({ maxLength: 60 }),
      extras: fc.array(extraFields, { maxLength: 3 }),
      credentials,
    },
    { noNullPrototype: true },
  );
  return fc.oneof(
    ...methods.map((method) =>
      fc
        .tuple(messagesOf(method.input, knowledge.vocabulary), form)
        .map(([message, choice]) => makeCall(method, message, choice)),
    ),
  );
}

interface Form {
  readonly httpVersion: 1 | 2;
  readonly type: WireType;
  readonly isJson: boolean;
  readonly isGet: boolean;
  readonly verb: string;
  readonly suffix: string;
  readonly damage: string;
  readonly at: number;
  readonly garbage: Uint8Array;
  readonly extras: readonly Field[];
  readonly credentials: { readonly fields: readonly Field[]; readonly standing: Standing };
}

function makeCall(method: DescMethod, message: EncodedMessage, form: Form): FuzzCall {
  const { httpVersion, verb, suffix, credentials } = form;
  const path = `/${method.parent.typeName}/${method.name}`;
  const isStream = method.methodKind !== "unary";
  const bytes = form.isJson ? Buffer.from(message.json) : Buffer.from(message.binary);
  const codec = form.isJson ? "json" : "proto";
  const common = { method, httpVersion, standing: credentials.standing };
  const fields = [...timeLimit(form.type, isStream), ...credentials.fields, ...form.extras];
  if (form.type === "connect" && form.isGet && !isStream) {
    const query = new URLSearchParams({ connect: "v1", encoding: codec, base64: "1" });
    query.set("message", damage(bytes, form, false).toString("base64url"));
    const target = `${path}?${query}${suffix}`;
    return withPrint({ ...common, verb: "GET", path: target, headers: fields, body: Buffer.alloc(0) });
  }
  const isEnveloped = form.type !== "connect" || isStream;
  const type = form.type === "connect" ? (isStream ? `connect+${codec}` : codec) : `${form.type}+${codec}`;
  const sent = damage(isEnveloped ? envelope(bytes) : bytes, form, isEnveloped);
  return withPrint({
    ...common,
    verb,
    path: path + suffix,
    headers: [["content-type", `application/${type}`], ...fields],
    body: form.type === "grpc-web-text" ? Buffer.from(sent.toString("base64")) : sent,
  });
}

/** Streams would last; what the other fields say of time may win over this. */
function timeLimit(type: WireType, isStream: boolean): Field[] {
  if (!isStream) return [];
  return [type === "connect" ? ["connect-timeout-ms", "60"] : ["grpc-timeout", "60m"]];
}

function damage(bytes: Buffer, { damage: how, at: anywhere, garbage }: Form, isEnveloped: boolean): Buffer {
  const at = bytes.length === 0 ? 0 : anywhere % bytes.length;
  const copy = Buffer.from(bytes);
  switch (how) {
    case "flip":
      if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << (anywhere & 7));
      return copy;
    case "cut":
      return copy.subarray(0, at);
    case "insert":
      return Buffer.concat([copy.subarray(0, at), garbage, copy.subarray(at)]);
    case "twice":
      return Buffer.concat([copy, copy]);
    case "garbage":
      return Buffer.from(garbage);
    case "gzip":
      return isEnveloped ? envelope(gzipSync(copy.subarray(5)), 1) : gzipSync(copy);
    case "flags":
      if (isEnveloped) copy[0] = anywhere & 0xff;
      return copy;
    case "length":
      if (isEnveloped) copy.writeUInt32BE(anywhere % 2 === 0 ? anywhere : 0xffff_ffff - anywhere, 1);
      return copy;
    case "nothing":
      return Buffer.alloc(0);
    case "head":
      return copy.subarray(0, 3);
    default:
      return copy;
  }
}

/** Lets fast-check print a call so that it can be read and sent again. */
function withPrint(call: FuzzCall): FuzzCall {
  const { httpVersion, verb, path, headers, body, standing } = call;
  const print = () =>
    `HTTP/${httpVersion} ${verb} ${path} ${JSON.stringify(headers)} ${standing} body ${body.toString("base64")}`;
  return Object.defineProperty(call, fc.toStringMethod, { value: print, enumerable: false });
}
