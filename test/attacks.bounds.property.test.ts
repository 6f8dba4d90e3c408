import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import fc from "fast-check";
import { BatchGetUsersRequestSchema, GetUserRequestSchema } from "../gen/users/v1/users_pb.ts";
import { ChunkList } from "../src/lane/chunk-list.ts";
import { assertFewParts, assertFewPartsOfAny } from "../src/lane/message-shape.ts";
import { createLongListFinder } from "../src/server/interceptors/list-limits.ts";

describe("what bounds a request", () => {
  test("joins chunks of all sizes in their order", () => {
    const sizes = fc.array(fc.oneof({ weight: 5, arbitrary: fc.nat(3) }, fc.nat(40_000)), { maxLength: 60 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const chunks = lengths.map((length, index) => Buffer.alloc(length, index + 1));
        const list = new ChunkList();
        for (const chunk of chunks) list.add(chunk);
        assert.equal(
          list.length,
          lengths.reduce((sum, length) => sum + length, 0),
        );
        assert.ok(list.toBuffer().equals(Buffer.concat(chunks)));
      }),
    );
  });

  test("lets every request through that the contracts allow", () => {
    const ids = Array.from({ length: 1_000 }, () => crypto.randomUUID());
    const request = create(BatchGetUsersRequestSchema, { ids });
    const binary = toBinary(BatchGetUsersRequestSchema, request);
    const json = Buffer.from(toJsonString(BatchGetUsersRequestSchema, request));
    assertFewParts(binary, "binary");
    assertFewParts(json, "json");
    for (const bytes of [binary, json]) assertFewPartsOfAny(bytes);
    assert.deepEqual(createLongListFinder()(BatchGetUsersRequestSchema, request), []);
  });

  test("lets one long text through, whatever is in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }), (piece) => {
        fc.pre(!/[,:[{]/.test(piece));
        const email = piece.repeat(50_000);
        const request = create(GetUserRequestSchema, { email });
        assertFewPartsOfAny(toBinary(GetUserRequestSchema, request));
        assertFewParts(Buffer.from(JSON.stringify({ email })), "json");
      }),
      { numRuns: 20 },
    );
  });

  test("names a list that is too long, and none of its items", () => {
    const request = create(BatchGetUsersRequestSchema, { ids: Array<string>(1_001).fill("") });
    assert.deepEqual(createLongListFinder()(BatchGetUsersRequestSchema, request), [
      { field: "ids", description: "must contain no more than 1000 item(s)", reason: "repeated.max_items" },
    ]);
  });
});
