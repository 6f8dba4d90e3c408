import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeCursor, encodeCursor } from "../src/events/cursor.ts";
import { encodeOpaqueToken } from "../src/platform/opaque-token.ts";
import { decodePageToken, encodePageToken } from "../src/users/page-token.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 500 * Number(process.env["TEST_SCALE"] ?? 1);

const maxRevision = 2n ** 63n - 1n;
const places = fc.record(
  { databaseId: fc.uuid(), revision: fc.bigInt({ min: 0n, max: maxRevision }) },
  { noNullPrototype: true },
);
const cursors = places.map(encodeCursor);
const pageTokens = fc.uuid().map(encodePageToken);

const base64urlDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const characters = fc.oneof(
  fc.constantFrom(...base64urlDigits, "=", "+", "/", " ", "\n", "\0"),
  fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
);
const texts = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.base64String(),
  fc.string({ unit: fc.constantFrom(...base64urlDigits), minLength: 20, maxLength: 45 }),
);

const kinds = [
  { name: "a cursor", kind: 1, tokens: cursors, others: pageTokens, decode: decodeCursor, length: 39 },
  { name: "a page token", kind: 2, tokens: pageTokens, others: cursors, decode: decodePageToken, length: 28 },
];

/** What is between a token's kind and its checksum. */
const payloadOf = (token: string): Buffer => Buffer.from(token, "base64url").subarray(1, -4);

describe("a cursor", () => {
  test("is read back as it was written, up to the last revision that there can be", () => {
    fc.assert(
      fc.property(places, (cursor) => assert.deepEqual(decodeCursor(encodeCursor(cursor)), cursor)),
      {
        numRuns,
        examples: [[{ databaseId: "00000000-0000-4000-8000-000000000000", revision: maxRevision }]],
      },
    );
  });

  test("exists in one form only, also where its bytes pass the checksum", () => {
    const payloads = fc.oneof(
      fc.uint8Array({ minLength: 24, maxLength: 24 }),
      fc.uint8Array({ maxLength: 40 }),
    );
    fc.assert(
      fc.property(payloads, (payload) => {
        const text = encodeOpaqueToken(1, payload);
        const cursor = decodeCursor(text);
        if (cursor !== undefined) {
          assert.ok(cursor.revision >= 0n);
          assert.equal(encodeCursor(cursor), text);
        }
        assert.ok(cursor === undefined || payload.length === 24);
      }),
      { numRuns },
    );
  });

  test("tells apart what differs in database or revision", () => {
    fc.assert(
      fc.property(places, places, (one, other) => {
        const same = one.databaseId === other.databaseId && one.revision === other.revision;
        assert.equal(encodeCursor(one) === encodeCursor(other), same);
      }),
      { numRuns },
    );
  });
});

describe("a page token", () => {
  test("is read back as it was written", () => {
    fc.assert(
      fc.property(fc.uuid(), (id) => assert.equal(decodePageToken(encodePageToken(id)), id)),
      { numRuns },
    );
  });
});

for (const { name, kind, tokens, others, decode, length } of kinds) {
  describe(`${name} is no longer one`, () => {
    const refuses = (altered: fc.Arbitrary<string>) =>
      fc.assert(
        fc.property(altered, (text) => assert.equal(decode(text), undefined)),
        { numRuns },
      );

    test("with any one character changed", () => {
      const altered = fc
        .tuple(tokens, fc.nat({ max: length - 1 }), characters)
        .filter(([token, index, character]) => token[index] !== character)
        .map(([token, index, character]) => token.slice(0, index) + character + token.slice(index + 1));
      refuses(altered);
    });

    test("with its last character's unused bits set", () => {
      // Base64 decoders drop them, so the bytes are the same: only the text differs.
      const altered = tokens.chain((token) =>
        fc
          .constantFrom(...base64urlDigits)
          .map((character) => token.slice(0, -1) + character)
          .filter((text) => text !== token),
      );
      refuses(altered);
    });

    test("cut off at either end", () => {
      const lengths = fc.nat({ max: length - 1 });
      refuses(fc.tuple(tokens, lengths).map(([token, kept]) => token.slice(0, kept)));
      refuses(fc.tuple(tokens, lengths).map(([token, kept]) => token.slice(token.length - kept)));
    });

    test("with anything before or behind it", () => {
      const extras = fc.oneof(fc.string({ unit: characters, minLength: 1, maxLength: 8 }), tokens);
      refuses(fc.tuple(tokens, extras).map(([token, extra]) => token + extra));
      refuses(fc.tuple(tokens, extras).map(([token, extra]) => extra + token));
    });

    test("where it is a token of the other kind, or of none that there is", () => {
      refuses(others);
      const otherKinds = fc.integer({ min: 0, max: 255 }).filter((other) => other !== kind);
      refuses(
        fc.tuple(otherKinds, tokens).map(([other, token]) => encodeOpaqueToken(other, payloadOf(token))),
      );
    });

    test("with more or less in it, also where the checksum is right", () => {
      const bytes = fc.uint8Array({ minLength: 1, maxLength: 20 });
      const longer = fc
        .tuple(tokens, bytes)
        .map(([token, added]) => encodeOpaqueToken(kind, Buffer.concat([payloadOf(token), added])));
      const shorter = fc
        .tuple(tokens, fc.nat())
        .map(([token, kept]) => [payloadOf(token), kept] as const)
        .map(([payload, kept]) => encodeOpaqueToken(kind, payload.subarray(0, kept % payload.length)));
      refuses(longer);
      refuses(shorter);
    });

    test("where it is any other text", () => {
      refuses(texts);
    });
  });

  test(`${name} is ${length} characters that need no escaping in a URL`, () => {
    fc.assert(
      fc.property(tokens, (token) => {
        assert.match(token, /^[A-Za-z0-9_-]+$/);
        assert.equal(token.length, length);
      }),
      { numRuns },
    );
  });
}
