import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { PasswordsBusyError } from "../src/auth/password.errors.ts";
import { findPasswordViolation } from "../src/auth/password.ts";
import { isWeaker } from "../src/auth/password-hash.ts";
import { createPasswordHasher } from "../src/auth/password-hasher.ts";
import { createPasswordQueue } from "../src/auth/password-queue.ts";
import { InvalidInputError } from "../src/platform/errors.ts";

/** The least that Argon2 allows: the library's work is its own affair. */
const cheap = { memoryKib: 8, iterations: 1, parallelism: 1, maxConcurrency: 2 };

/** Passwords that may be set, of all of Unicode. */
const password = fc
  .string({ unit: "binary", minLength: 8, maxLength: 40 })
  .filter((text) => findPasswordViolation(text, "password") === undefined);

describe("the password hasher", () => {
  test("finds every password again, and no other", async () => {
    const hasher = createPasswordHasher(cheap);
    await fc.assert(
      fc.asyncProperty(password, password, async (first, second) => {
        const stored = await hasher.hash(first);
        assert.deepEqual(await hasher.verify(stored, first), { isMatch: true, needsRehash: false });
        const isSame = first.normalize("NFKC") === second.normalize("NFKC");
        assert.equal((await hasher.verify(stored, second)).isMatch, isSame);
      }),
      { numRuns: 100 },
    );
  });

  test("salts each hash", async () => {
    const hasher = createPasswordHasher(cheap);
    assert.notEqual(await hasher.hash("correct horse"), await hasher.hash("correct horse"));
  });

  test("takes a NUL for a character like any other", async () => {
    const hasher = createPasswordHasher(cheap);
    const stored = await hasher.hash("password\0one");
    assert.equal((await hasher.verify(stored, "password\0one")).isMatch, true);
    assert.equal((await hasher.verify(stored, "password\0two")).isMatch, false);
    assert.equal((await hasher.verify(stored, "password")).isMatch, false);
  });

  for (const [name, set, typed] of [
    ["composed and decomposed letters", "pässwörter", "pa\u0308sswo\u0308rter"],
    ["half and full width", "password1", "ｐａｓｓｗｏｒｄ１"],
    ["kinds of space", "correct horse", "correct\u00A0horse"],
  ] as const) {
    test(`takes ${name} for the same`, async () => {
      const hasher = createPasswordHasher(cheap);
      assert.equal((await hasher.verify(await hasher.hash(set), typed)).isMatch, true);
      assert.equal((await hasher.verify(await hasher.hash(typed), set)).isMatch, true);
    });
  }

  test("never takes a hash that was tampered with for the password's, and quotes none", async () => {
    const hasher = createPasswordHasher(cheap);
    const stored = await hasher.hash("correct horse");
    // What stands before the salt says how much work there is to do: no test should take 4 TiB.
    const saltAt = stored.lastIndexOf("$", stored.lastIndexOf("$") - 1) + 1;
    const place = fc.integer({ min: saltAt, max: stored.length - 1 });
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom(..."ABCxyz019+/$.= \0"), async (at, character) => {
        fc.pre(stored[at] !== character);
        const tampered = stored.slice(0, at) + character + stored.slice(at + 1);
        const outcome = await hasher.verify(tampered, "correct horse").catch((error: unknown) => error);
        if (outcome instanceof Error) {
          assert.equal(outcome.message, "a stored password hash cannot be read");
          assert.equal(outcome.cause, undefined);
        } else {
          assert.deepEqual(outcome, { isMatch: false, needsRehash: false });
        }
      }),
      { numRuns: 200 },
    );
  });

  for (const [name, text] of [
    ["7 bytes", "1234567"],
    ["1,025 bytes", "x".repeat(1_025)],
    ["1,026 bytes of 342 characters", "€".repeat(342)],
    ["9 bytes that are 3 in their normal form", "ｘｙｚ"],
    ["half of a surrogate pair", "password\ud800"],
    ["a character that Unicode has not assigned", "password\u{10fffe}"],
  ] as const) {
    test(`refuses ${name}, and does not repeat it`, async () => {
      const hashing = createPasswordHasher(cheap).hash(text, { field: "new_password" });
      const error = await hashing.catch((failure: unknown) => failure);
      assert.ok(error instanceof InvalidInputError);
      assert.deepEqual(
        error.violations.map((violation) => violation.field),
        ["new_password"],
      );
      assert.ok(!JSON.stringify([error.message, error.violations, error.stack]).includes(text));
    });
  }

  test("takes 8 and 1,024 bytes", async () => {
    const hasher = createPasswordHasher(cheap);
    for (const text of ["12345678", "x".repeat(1_024), "é".repeat(4), "😀😀"]) {
      assert.equal((await hasher.verify(await hasher.hash(text), text)).isMatch, true);
    }
  });

  test("asks for a new hash exactly where the stored one is weaker than the configuration", async () => {
    const cost = fc.record({
      memoryKib: fc.integer({ min: 16, max: 64 }),
      iterations: fc.integer({ min: 1, max: 4 }),
      parallelism: fc.integer({ min: 1, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(cost, cost, async (before, after) => {
        const stored = await createPasswordHasher({ ...before, maxConcurrency: 1 }).hash("correct horse");
        const hasher = createPasswordHasher({ ...after, maxConcurrency: 1 });
        const isRaised = after.memoryKib > before.memoryKib || after.iterations > before.iterations;
        assert.deepEqual(await hasher.verify(stored, "correct horse"), {
          isMatch: true,
          needsRehash: isRaised,
        });
        assert.deepEqual(await hasher.verify(stored, "wrong horse"), { isMatch: false, needsRehash: false });
      }),
      { numRuns: 50 },
    );
  });

  test("takes other kinds of Argon2, its old version and short salts for weaker", () => {
    const salt = "A".repeat(22);
    const output = "A".repeat(43);
    const parameters = "m=19456,t=2,p=1";
    const cost = { memoryKib: 19_456, iterations: 2, parallelism: 1 };
    assert.equal(isWeaker(`$argon2id$v=19$${parameters}$${salt}$${output}`, cost), false);
    assert.equal(isWeaker(`$argon2i$v=19$${parameters}$${salt}$${output}`, cost), true);
    assert.equal(isWeaker(`$argon2id$v=16$${parameters}$${salt}$${output}`, cost), true);
    assert.equal(isWeaker(`$argon2id$v=19$${parameters}$${"A".repeat(11)}$${output}`, cost), true);
    assert.equal(isWeaker(`$argon2id$v=19$${parameters}$${salt}$${"A".repeat(22)}`, cost), true);
  });

  test("compares where there is no hash, too: a comparison that takes a turn, and never matches", async () => {
    const hasher = createPasswordHasher({ ...cheap, maxConcurrency: 1, maxWaiting: 0 });
    const comparing = hasher.verify(undefined, "correct horse");
    await assert.rejects(hasher.verify(undefined, "correct horse"), PasswordsBusyError);
    assert.deepEqual(await comparing, { isMatch: false, needsRehash: false });
  });
});

describe("the queue of passwords", () => {
  /** Work that ends when it is told to. */
  function createWork() {
    const started: number[] = [];
    const ends = new Map<number, () => void>();
    let running = 0;
    let mostRunning = 0;
    return {
      started,
      mostRunning: () => mostRunning,
      start: (id: number) => async () => {
        started.push(id);
        running += 1;
        mostRunning = Math.max(mostRunning, running);
        await new Promise<void>((resolve) => ends.set(id, resolve));
        running -= 1;
        return id;
      },
      async end(id: number) {
        ends.get(id)?.();
        await setImmediate();
      },
    };
  }

  test("runs so many at once, in their order, and refuses who would be one too many", async () => {
    const queue = createPasswordQueue({ maxConcurrency: 2, maxWaiting: 2 });
    const work = createWork();
    const runs = [1, 2, 3, 4].map((id) => queue.run(work.start(id)));
    const refusal = await queue.run(work.start(5)).catch((error: unknown) => error);
    assert.ok(refusal instanceof PasswordsBusyError);
    assert.ok(Number.isSafeInteger(refusal.retryAfterMs) && refusal.retryAfterMs > 0);
    await setImmediate();
    assert.deepEqual(work.started, [1, 2]);
    await work.end(2);
    assert.deepEqual(work.started, [1, 2, 3]);
    runs.push(queue.run(work.start(6)));
    for (const id of [1, 3, 4, 6]) await work.end(id);
    assert.deepEqual(await Promise.all(runs), [1, 2, 3, 4, 6]);
    assert.equal(work.mostRunning(), 2);
  });

  test("does nothing for who has left before its turn, and gives its place to others", async () => {
    const queue = createPasswordQueue({ maxConcurrency: 1, maxWaiting: 1 });
    const work = createWork();
    const leaving = new AbortController();
    const first = queue.run(work.start(1));
    const second = assert.rejects(queue.run(work.start(2), leaving.signal), /gone/);
    await assert.rejects(queue.run(work.start(3)), PasswordsBusyError);
    leaving.abort(new Error("gone"));
    const fourth = queue.run(work.start(4));
    await assert.rejects(queue.run(work.start(5)), PasswordsBusyError);
    await setImmediate();
    await work.end(1);
    await second;
    await work.end(4);
    assert.deepEqual(await Promise.all([first, fourth]), [1, 4]);
    assert.deepEqual(work.started, [1, 4]);
    await assert.rejects(queue.run(work.start(6), leaving.signal), /gone/);
  });

  test("goes on after work that fails or throws, however much of it", async () => {
    const queue = createPasswordQueue({ maxConcurrency: 1, maxWaiting: 0 });
    for (let round = 0; round < 10; round++) {
      await assert.rejects(
        queue.run(() => Promise.reject(new Error("failed"))),
        /failed/,
      );
      await assert.rejects(
        queue.run(() => {
          throw new Error("thrown");
        }),
        /thrown/,
      );
    }
    assert.equal(await queue.run(async () => "good"), "good");
  });
});
