import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { UserEventSchema, UserService } from "../gen/users/v1/users_pb.ts";
import { createCodec, type Encoding } from "../src/lane/codec.ts";
import { encodeBurst, encodeOnce } from "../src/lane/encode-once.ts";

const encodings: readonly Encoding[] = ["binary", "json"];

for (const encoding of encodings) {
  test(`what is remembered of a message in ${encoding} keeps no more memory than its bytes`, () => {
    const limits = { readMaxBytes: 1_024, writeMaxBytes: 1_024 };
    const codec = createCodec(UserService.method.streamUserEvents, encoding, limits);
    const messages = ["one", "two"].map((id) => encodeOnce(create(UserEventSchema, { id })));
    const bursts = [messages, messages.slice(0, 1)].map((burst) => encodeBurst(codec, encodeOnce(burst)));
    for (const { bytes } of bursts) assert.equal(bytes.buffer.byteLength, bytes.length);
    const [first] = messages;
    assert.ok(first !== undefined);
    assert.equal(encodeBurst(codec, [first]).bytes, encodeBurst(codec, [first]).bytes);
  });
}
