import fc from "fast-check";
import type { Field } from "./fuzz-credentials.ts";
import { envelope } from "./raw-http.ts";

/** Frame types of HTTP/2 (RFC 9113, section 6). */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** What every connection begins with. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** A frame. @param length what its head claims; undefined: the truth */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array,
  length?: number,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE((length ?? payload.length) & 0xff_ffff, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** A block of header fields in HPACK's plainest form (RFC 7541, section 6.2.2): literals, no table, no Huffman code. */
export function fieldBlock(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** The fields that begin a call. */
export function callFields(path: string, contentType: string): Field[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "fuzz.test"],
    [":path", path],
    ["content-type", contentType],
    ["te", "trailers"],
  ];
}

const paths = [
  "/users.v1.UserService/GetUser",
  "/users.v1.UserService/StreamUserEvents",
  "/auth.AuthService/Authenticate",
  "/grpc.health.v1.Health/Watch",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/healthz",
  "/nowhere",
];

const contentTypes = [
  "application/grpc",
  "application/grpc+json",
  "application/grpc-web",
  "application/json",
  "text/html",
];

/** Fields with which a block can be wrong, or merely unusual. */
const extraFields: fc.Arbitrary<Field> = fc.constantFrom<Field>(
  ["expect", "100-continue"],
  ["expect", "nonsense"],
  [":method", "GET"],
  [":path", "/twice"],
  [":path", ""],
  [":authority", "not a host"],
  [":authority", ""],
  [":scheme", "1 no"],
  [":status", "200"],
  [":protocol", "websocket"],
  [":unheard-of", "x"],
  ["", "no name"],
  ["UPPER", "case"],
  ["connection", "close"],
  ["transfer-encoding", "chunked"],
  ["te", "gzip"],
  ["host", "other.test"],
  ["content-length", "5"],
  ["content-length", "-1"],
  ["cookie", "a=b"],
  ["authorization", "Bearer \u0000"],
  ["x-control", "a\r\nb: c"],
  ["x-long", "x".repeat(20_000)],
  ["grpc-timeout", "1n"],
  ["grpc-encoding", "gzip"],
);

const streamIds = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(1, 3, 5, 7) },
  fc.constantFrom(0, 2, 4, 9, 2 ** 31 - 1, 2 ** 31),
);
const flags = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0, 1, 4, 5) }, fc.nat(255));
const lengths = fc.option(fc.constantFrom(0, 1, 3, 4, 5, 8, 16_384, 16_385, 0xff_ffff), {
  freq: 8,
  nil: undefined,
});

const headerBlocks = fc
  .tuple(
    fc.constantFrom(...paths),
    fc.constantFrom(...contentTypes),
    fc.array(extraFields, { maxLength: 2 }),
    fc.boolean(),
  )
  .map(([path, type, extras, isFirst]) =>
    fieldBlock(isFirst ? [...extras, ...callFields(path, type)] : [...callFields(path, type), ...extras]),
  );

const messages = fc.oneof(
  fc.constantFrom(envelope(""), envelope("{}"), Buffer.from("{}"), envelope("{}", 0x80), envelope("", 1)),
  fc.uint8Array({ maxLength: 40 }),
);

const four = fc
  .oneof(fc.constantFrom(0, 1, 2, 7, 8, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1), fc.nat(65_535))
  .map((value) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  });

const settings = fc
  .array(fc.tuple(fc.constantFrom(1, 2, 3, 4, 5, 6, 8, 9, 0, 0xffff), four), { maxLength: 4 })
  .map((all) => Buffer.concat(all.flatMap(([id, value]) => [Buffer.of(id >> 8, id & 255), value])));

const anyBytes = fc.uint8Array({ maxLength: 30 });

/** A frame as a client sends it, but for what is wrong with it. */
const frames: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 6,
    arbitrary: framesOf(frameType.headers, fc.oneof({ weight: 5, arbitrary: headerBlocks }, anyBytes)),
  },
  { weight: 5, arbitrary: framesOf(frameType.data, messages) },
  { weight: 3, arbitrary: framesOf(frameType.resetStream, four) },
  { weight: 1, arbitrary: framesOf(frameType.settings, settings, true) },
  { weight: 1, arbitrary: framesOf(frameType.ping, fc.uint8Array({ minLength: 8, maxLength: 8 }), true) },
  { weight: 1, arbitrary: framesOf(frameType.windowUpdate, four) },
  { weight: 1, arbitrary: framesOf(frameType.priority, fc.uint8Array({ minLength: 5, maxLength: 5 })) },
  { weight: 1, arbitrary: framesOf(frameType.continuation, headerBlocks) },
  { weight: 1, arbitrary: framesOf(frameType.goAway, fc.uint8Array({ minLength: 8, maxLength: 20 }), true) },
  { weight: 1, arbitrary: framesOf(frameType.pushPromise, anyBytes) },
  { weight: 1, arbitrary: fc.nat(255).chain((type) => framesOf(type, anyBytes)) },
  { weight: 1, arbitrary: anyBytes.map((bytes) => Buffer.from(bytes)) },
);

function framesOf(
  type: number,
  payloads: fc.Arbitrary<Uint8Array>,
  onConnection = false,
): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      onConnection ? fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, streamIds) : streamIds,
      flags,
      payloads,
      lengths,
    )
    .map(([streamId, bits, payload, length]) => frame(type, bits, streamId, payload, length));
}

/** A whole call that nothing is wrong with: what is wrong about it comes before, between and behind. */
const goodCalls = fc
  .tuple(
    fc.constantFrom(1, 3, 5),
    fc.constantFrom(...paths),
    fc.constantFrom(...contentTypes),
    fc.option(extraFields),
  )
  .map(([streamId, path, type, extra]) =>
    Buffer.concat([
      frame(
        frameType.headers,
        4,
        streamId,
        fieldBlock([...callFields(path, type), ...(extra === null ? [] : [extra])]),
      ),
      frame(frameType.data, 1, streamId, envelope("")),
    ]),
  );

/** What a client sends in one go: chunks, each written at once. */
export const http2Conversations: fc.Arbitrary<Buffer[]> = fc
  .tuple(
    fc.oneof(
      { weight: 12, arbitrary: fc.constant(preface) },
      fc.constantFrom(preface.subarray(0, 9), Buffer.from("PRI")),
    ),
    fc.array(fc.oneof({ weight: 1, arbitrary: goodCalls }, { weight: 3, arbitrary: frames }), {
      minLength: 1,
      maxLength: 8,
    }),
    fc.boolean(),
  )
  .map(([start, sent, inOne]) => {
    const all = [Buffer.concat([start, frame(frameType.settings, 0, 0, Buffer.alloc(0))]), ...sent];
    return inOne ? [Buffer.concat(all)] : all;
  });
