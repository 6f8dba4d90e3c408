import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { createStallWatch, type Reader } from "../src/lane/stall-watch.ts";

const timeoutMs = 1_000;

/** A watch, and the clock that it looks by. */
function openWatch(t: TestContext) {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const watch = createStallWatch(timeoutMs);
  t.after(watch.close);
  return { watch, pass: (ms: number) => t.mock.timers.tick(ms) };
}

function createReader(pendingBytes: number): {
  pendingBytes: number;
  cutOff: Reader["cutOff"];
  isCutOff: boolean;
} {
  const reader = {
    pendingBytes,
    isCutOff: false,
    cutOff: () => {
      reader.isCutOff = true;
    },
  };
  return reader;
}

describe("a reader for whom bytes wait", () => {
  test("is cut off when it has taken none for the timeout, and at most a quarter of it later", (t) => {
    const { watch, pass } = openWatch(t);
    pass(120);
    const reader = createReader(10);
    watch.waiting(reader);
    pass(timeoutMs - 10);
    assert.equal(reader.isCutOff, false);
    pass(timeoutMs / 4 + 10);
    assert.equal(reader.isCutOff, true);
  });

  test("is left alone while it takes some, however slowly", (t) => {
    const { watch, pass } = openWatch(t);
    const reader = createReader(1_000);
    watch.waiting(reader);
    for (let taken = 0; taken < 20; taken++) {
      pass(timeoutMs - 20);
      reader.pendingBytes--;
    }
    assert.equal(reader.isCutOff, false);
  });

  test("is cut off when it stops after it has taken some, at most a quarter of the timeout late", (t) => {
    const { watch, pass } = openWatch(t);
    const reader = createReader(1_000);
    watch.waiting(reader);
    pass(timeoutMs - 20);
    reader.pendingBytes--;
    pass(timeoutMs - 10);
    assert.equal(reader.isCutOff, false);
    pass(timeoutMs / 4 + 10);
    assert.equal(reader.isCutOff, true);
  });

  test("is forgotten once it has taken all", (t) => {
    const { watch, pass } = openWatch(t);
    const reader = createReader(10);
    watch.waiting(reader);
    watch.taken(reader);
    pass(3 * timeoutMs);
    assert.equal(reader.isCutOff, false);
  });
});
