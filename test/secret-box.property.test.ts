import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createSecretBox } from "../src/platform/secret-box.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 300 * Number(process.env["TEST_SCALE"] ?? 1);

const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });
const secrets = fc.uint8Array({ maxLength: 200 });
const contexts = fc.string({ maxLength: 40 });

describe("a secret box", () => {
  test("gives back what was sealed, also once the key is no longer the first", () => {
    fc.assert(
      fc.property(keys, keys, secrets, contexts, (key, newer, secret, context) => {
        const sealed = createSecretBox([key]).seal(secret, context);
        assert.deepEqual(createSecretBox([key]).open(sealed, context), Buffer.from(secret));
        assert.deepEqual(createSecretBox([newer, key]).open(sealed, context), Buffer.from(secret));
      }),
      { numRuns },
    );
  });

  test("seals under the first key", () => {
    const [first, second] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const sealed = createSecretBox([first, second]).seal(Buffer.from("secret"), "row");
    assert.equal(createSecretBox([second]).open(sealed, "row"), undefined);
    assert.equal(createSecretBox([first]).open(sealed, "row")?.toString(), "secret");
  });

  test("opens nothing under another key, in another context, altered in one bit, or cut off", () => {
    fc.assert(
      fc.property(
        keys,
        keys,
        secrets,
        contexts,
        contexts,
        fc.nat(),
        (key, other, secret, context, place, at) => {
          const box = createSecretBox([key]);
          const sealed = box.seal(secret, context);
          if (!Buffer.from(key).equals(other)) {
            assert.equal(createSecretBox([other]).open(sealed, context), undefined);
          }
          if (place !== context) assert.equal(box.open(sealed, place), undefined);
          const altered = Buffer.from(sealed);
          const index = at % altered.length;
          altered[index] = (altered[index] ?? 0) ^ (1 << (at % 8));
          assert.equal(box.open(altered, context), undefined);
          assert.equal(box.open(sealed.subarray(0, index), context), undefined);
        },
      ),
      { numRuns },
    );
  });

  test("never seals the same secret to the same bytes", () => {
    const box = createSecretBox([Buffer.alloc(32, 1)]);
    const sealed = Array.from({ length: 50 }, () => box.seal(Buffer.from("secret"), "row").toString("hex"));
    assert.equal(new Set(sealed).size, sealed.length);
  });

  test("takes keys of 32 bytes and no others", () => {
    for (const wrong of [[], [Buffer.alloc(31)], [Buffer.alloc(32), Buffer.alloc(33)]]) {
      assert.throws(() => createSecretBox(wrong), TypeError);
    }
  });
});
