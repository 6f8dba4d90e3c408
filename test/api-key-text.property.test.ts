import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  formatApiKey,
  hasApiKeyForm,
  hashApiKey,
  isApiKey,
  mintApiKey,
} from "../src/api-keys/api-key-text.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 500 * Number(process.env["TEST_SCALE"] ?? 1);

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 });
const keys = secrets.map(formatApiKey);

/** What docs/api-keys.md gives to scanners. */
const documentedPattern = /\bubk_[0-9A-Za-z]{49}\b/;

describe("an API key", () => {
  test("is its 256 bits, of a fixed width, and passes for one", () => {
    fc.assert(
      fc.property(secrets, (bytes) => {
        const key = formatApiKey(bytes);
        assert.match(key, /^ubk_[0-9A-Za-z]{49}$/);
        assert.ok(isApiKey(key) && hasApiKeyForm(key));
        let value = 0n;
        for (const digit of key.slice(4, -6)) value = value * 62n + BigInt(digits.indexOf(digit));
        assert.equal(value.toString(16).padStart(64, "0"), Buffer.from(bytes).toString("hex"));
      }),
      { numRuns, examples: [[new Uint8Array(32)], [new Uint8Array(32).fill(255)]] },
    );
  });

  test("is told from any text around it by the documented pattern", () => {
    fc.assert(
      fc.property(keys, fc.constantFrom(" ", '"', "=", "\n", "'", ":"), (key, around) => {
        assert.equal(documentedPattern.exec(`KEY${around}${key}${around}`)?.[0], key);
      }),
      { numRuns },
    );
  });

  test("has every single-character typo found", () => {
    fc.assert(
      fc.property(keys, fc.nat(52), (key, position) => {
        for (const typo of `${digits}_- é\0`) {
          if (typo === key[position]) continue;
          assert.ok(!isApiKey(key.slice(0, position) + typo + key.slice(position + 1)));
        }
      }),
      { numRuns },
    );
  });

  test("has every two neighbours that have changed places found", () => {
    fc.assert(
      fc.property(keys, (key) => {
        for (let at = 0; at + 1 < key.length; at++) {
          const swapped = `${key.slice(0, at)}${key[at + 1]}${key[at]}${key.slice(at + 2)}`;
          if (swapped !== key) assert.ok(!isApiKey(swapped), `${key} and ${swapped}`);
        }
      }),
      { numRuns },
    );
  });

  test("has a cut, an addition and a change of case found", () => {
    fc.assert(
      fc.property(keys, fc.nat(52), (key, position) => {
        assert.ok(!isApiKey(key.slice(0, position)));
        assert.ok(!isApiKey(key.slice(0, position) + key.slice(position + 1)));
        for (const added of ["0", "\n", " ", key[position]]) {
          assert.ok(!isApiKey(key.slice(0, position) + added + key.slice(position)));
          assert.ok(!isApiKey(key + added));
        }
        assert.ok(!isApiKey(key.toUpperCase()) && !isApiKey(key.toLowerCase()));
      }),
      { numRuns },
    );
  });

  test("is never garbage, which never throws", () => {
    const garbage = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: "binary", minLength: 49, maxLength: 49 }).map((text) => `ubk_${text}`),
      fc
        .string({ unit: fc.constantFrom(...digits), minLength: 49, maxLength: 49 })
        .map((text) => `ubk_${text}`),
      fc.constant("startup-readiness-check"),
    );
    fc.assert(
      fc.property(garbage, (text) => {
        hashApiKey(text);
        hasApiKeyForm(text);
        assert.equal(isApiKey(text), false);
      }),
      { numRuns: numRuns * 4 },
    );
  });

  test("is a new one each time, and shows 12 characters of itself", () => {
    const minted = Array.from({ length: 1_000 }, mintApiKey);
    for (const { secret, hash, display } of minted) {
      assert.ok(isApiKey(secret));
      assert.equal(display, secret.slice(0, 12));
      assert.match(hash, /^[0-9a-f]{64}$/);
      assert.equal(hash, hashApiKey(secret));
    }
    assert.equal(new Set(minted.map(({ secret }) => secret)).size, minted.length);
  });
});
