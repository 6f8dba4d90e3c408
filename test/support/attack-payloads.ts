import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { envelope } from "./raw-http.ts";

/** A request that is more than it seems, and the status that it must come to. */
export interface Payload {
  readonly rpc: string;
  readonly type: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly status: "INVALID_ARGUMENT" | "RESOURCE_EXHAUSTED" | "UNIMPLEMENTED";
}

const users = "users.v1.UserService";
const profiles = "user.UserService";
const [json, proto, grpc] = ["application/json", "application/proto", "application/grpc"];
const invalid = "INVALID_ARGUMENT";
const tooLarge = "RESOURCE_EXHAUSTED";

function times(count: number, ...bytes: number[]): Buffer {
  return Buffer.alloc(count * bytes.length, Buffer.from(bytes));
}

/** A gibibyte of zeros in a megabyte: a gzip file may have many members. */
const gzipBomb = Buffer.concat(Array<Buffer>(64).fill(gzipSync(Buffer.alloc(16 * 2 ** 20))));
const brotliBomb = brotliCompressSync(Buffer.alloc(128 * 2 ** 20), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 1 },
});
const open = "[".repeat(1_000_000);
const nested = open + "]".repeat(1_000_000);

/** What takes much more to read than to send. */
export const payloads: Readonly<Record<string, Payload>> = {
  "a gibibyte in a megabyte of gzip": {
    rpc: `${users}/GetUser`,
    type: proto,
    fields: { "content-encoding": "gzip" },
    body: gzipBomb,
    status: tooLarge,
  },
  "much in little brotli": {
    rpc: `${users}/GetUser`,
    type: json,
    fields: { "content-encoding": "br" },
    body: brotliBomb,
    status: tooLarge,
  },
  "a gibibyte in an envelope": {
    rpc: `${users}/GetUser`,
    type: grpc,
    fields: { "grpc-encoding": "gzip" },
    body: envelope(gzipBomb, 1),
    status: tooLarge,
  },
  "a gibibyte for a stream": {
    rpc: `${users}/StreamUserEvents`,
    type: grpc,
    fields: { "grpc-encoding": "br" },
    body: envelope(brotliBomb, 1),
    status: tooLarge,
  },
  "a bomb in a bomb, of which one is opened": {
    rpc: `${users}/GetUser`,
    type: grpc,
    fields: { "grpc-encoding": "gzip" },
    body: envelope(gzipSync(gzipBomb), 1),
    status: invalid,
  },
  "a million open brackets": {
    rpc: `${users}/GetUser`,
    type: json,
    body: Buffer.from(open),
    status: invalid,
  },
  "a million lists in a field": {
    rpc: `${users}/GetUser`,
    type: json,
    body: Buffer.from(`{"email":${nested}}`),
    status: invalid,
  },
  "a million lists in a field that nobody knows": {
    rpc: `${users}/GetUser`,
    type: `${grpc}+json`,
    body: envelope(`{"email":"a@b.test","other":${nested}}`),
    status: invalid,
  },
  "half a million objects in a map": {
    rpc: `${profiles}/RecordUserActivity`,
    type: json,
    body: Buffer.from(`{"metadata":${'{"a":'.repeat(500_000)}1${"}".repeat(501_000)}`),
    status: invalid,
  },
  "a million brackets in little brotli": {
    rpc: `${users}/GetUser`,
    type: json,
    fields: { "content-encoding": "br" },
    body: brotliCompressSync(open),
    status: invalid,
  },
  "four million nested groups": {
    rpc: `${users}/GetUser`,
    type: grpc,
    body: envelope(Buffer.alloc(4_000_000, 0x53)),
    status: invalid,
  },
  "four million nested groups in little gzip": {
    rpc: `${users}/GetUser`,
    type: grpc,
    fields: { "grpc-encoding": "gzip" },
    body: envelope(gzipSync(Buffer.alloc(4_000_000, 0x53)), 1),
    status: invalid,
  },
  "two million empty items": {
    rpc: `${users}/BatchGetUsers`,
    type: grpc,
    body: envelope(times(2_000_000, 10, 0)),
    status: invalid,
  },
  "two million empty items in little gzip": {
    rpc: `${users}/BatchGetUsers`,
    type: grpc,
    fields: { "grpc-encoding": "gzip" },
    body: envelope(gzipSync(times(2_000_000, 10, 0)), 1),
    status: invalid,
  },
  "a million items that are wrong": {
    rpc: `${profiles}/SearchUsers`,
    type: grpc,
    body: envelope(times(1_300_000, 34, 1, 97)),
    status: invalid,
  },
  "as many items as may be decoded": {
    rpc: `${profiles}/SearchUsers`,
    type: grpc,
    body: envelope(times(49_000, 34, 1, 97)),
    status: invalid,
  },
  "two million fields that nobody knows": {
    rpc: `${users}/GetUser`,
    type: grpc,
    body: envelope(times(2_000_000, 0x78, 1)),
    status: invalid,
  },
  "a million paths in a field mask": {
    rpc: `${users}/UpdateUser`,
    type: json,
    body: Buffer.from(JSON.stringify({ updateMask: `${"a,".repeat(1_500_000)}a` })),
    status: invalid,
  },
  "an address of four megabytes": {
    rpc: `${users}/RegisterUser`,
    type: json,
    body: Buffer.from(JSON.stringify({ email: "a@".repeat(1_900_000), username: "b.".repeat(100_000) })),
    status: invalid,
  },
  "a link of three megabytes": {
    rpc: `${profiles}/UpdateUserProfile`,
    type: json,
    body: Buffer.from(JSON.stringify({ userId: "x", website: `http://a/${"%41".repeat(1_000_000)} ` })),
    status: invalid,
  },
  "four million empty envelopes": {
    rpc: `${users}/GetUser`,
    type: grpc,
    body: Buffer.alloc(5 * 4_000_000),
    status: "UNIMPLEMENTED",
  },
  "an envelope that claims four gigabytes": {
    rpc: `${users}/GetUser`,
    type: grpc,
    body: Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]),
    status: tooLarge,
  },
  "an envelope that holds less than it claims": {
    rpc: `${users}/GetUser`,
    type: grpc,
    body: Buffer.from([0, 0, 0, 0, 9, 1]),
    status: invalid,
  },
};
