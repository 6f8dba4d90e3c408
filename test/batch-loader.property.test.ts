import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { createBatchLoader } from "../src/platform/batch-loader.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const maxBatchSize = 4;
const maxInFlight = 2;

/** What happens next: a look-up, a write, the end of a turn of the event loop, or the end of a running load. */
type Step =
  | { readonly kind: "ask"; readonly key: number; readonly leaves: "never" | "before" | "at once" }
  | { readonly kind: "write"; readonly key: number }
  | { readonly kind: "turn" }
  | { readonly kind: "finish"; readonly which: number; readonly fails: boolean };

const keys = fc.nat(6);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      key: keys,
      leaves: fc.constantFrom("never", "never", "never", "before", "at once"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("write" as const), key: keys }) },
  { weight: 3, arbitrary: fc.constant({ kind: "turn" as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("finish" as const),
      which: fc.nat(maxInFlight - 1),
      fails: fc.boolean(),
    }),
  },
);

class Missing extends Error {}
class Failed extends Error {}
const left = new Error("the caller has left");

/** A store whose loads end when a test says so, with what was there when they began. */
class SlowStore {
  readonly versions = new Map<number, number>();
  readonly loads: { finish(fails: boolean): void }[] = [];
  readonly asked: (readonly number[])[] = [];

  readonly load = (wanted: readonly number[]): Promise<ReadonlyMap<number, Version>> => {
    this.asked.push(wanted);
    assert.equal(new Set(wanted).size, wanted.length, "a key came twice");
    assert.ok(wanted.length <= maxBatchSize, `${wanted.length} keys in a load`);
    assert.ok(this.loads.length < maxInFlight, "one load too many");
    const seen = new Map([...this.versions].map(([key, version]) => [key, { key, version }]));
    return new Promise((resolve, reject) => {
      const load = {
        finish: (fails: boolean) => {
          this.loads.splice(this.loads.indexOf(load), 1);
          if (fails) reject(new Failed());
          else resolve(seen);
        },
      };
      this.loads.push(load);
    });
  };
}

interface Version {
  readonly key: number;
  readonly version: number;
}

describe("look-ups that share loads", () => {
  test("have their own answers, none from before the question, in loads of a bounded size and number", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 60 }), async (plan) => {
        const store = new SlowStore();
        const get = createBatchLoader({
          maxBatchSize,
          maxInFlight,
          load: store.load,
          missing: () => new Missing(),
        });
        const faults: unknown[] = [];
        let unanswered = 0;
        for (const step of plan) {
          if (step.kind === "ask") {
            unanswered += 1;
            checkAnswer(store, get, step)
              .catch((fault: unknown) => faults.push(fault))
              .finally(() => (unanswered -= 1));
          }
          if (step.kind === "write") store.versions.set(step.key, (store.versions.get(step.key) ?? 0) + 1);
          if (step.kind === "turn") await setImmediate();
          if (step.kind === "finish") store.loads[step.which]?.finish(step.fails);
        }
        for (let turns = 0; unanswered > 0 && turns < 1_000; turns++) {
          for (const load of [...store.loads]) load.finish(false);
          await setImmediate();
        }
        assert.equal(unanswered, 0, "somebody was not answered");
        assert.deepEqual(faults, []);
      }),
      { numRuns: 500 * scale },
    );
  });

  test("of one turn are one load, also where microtasks lie between them", async () => {
    const store = new SlowStore();
    const get = createBatchLoader({
      maxBatchSize,
      maxInFlight,
      load: store.load,
      missing: () => new Missing(),
    });
    const answers: Promise<unknown>[] = [];
    for (const key of [1, 2, 2, 3]) {
      answers.push(get(key).catch(() => {}));
      await Promise.resolve();
    }
    await setImmediate();
    store.loads[0]?.finish(false);
    await Promise.all(answers);
    assert.deepEqual(store.asked, [[1, 2, 3]]);
  });

  test("leave out whoever has left before the load began, key and all", async () => {
    const store = new SlowStore();
    const get = createBatchLoader({
      maxBatchSize,
      maxInFlight,
      load: store.load,
      missing: () => new Missing(),
    });
    await assert.rejects(get(1, AbortSignal.abort(left)), (error) => error === left);
    assert.deepEqual(store.asked, []);
  });
});

async function checkAnswer(
  store: SlowStore,
  get: (key: number, signal?: AbortSignal) => Promise<Version>,
  { key, leaves }: Extract<Step, { kind: "ask" }>,
): Promise<void> {
  const before = store.versions.get(key) ?? 0;
  const caller = new AbortController();
  if (leaves === "before") caller.abort(left);
  const answer = get(key, caller.signal);
  if (leaves === "at once") caller.abort(left);
  try {
    const found = await answer;
    assert.equal(found.key, key, "somebody else's answer");
    assert.ok(found.version >= Math.max(before, 1), "an answer from before the question");
    assert.equal(leaves, "never");
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assert.equal(error === left, leaves !== "never");
    if (error instanceof Missing) assert.equal(before, 0, "what was there was not found");
    else assert.ok(error === left || error instanceof Failed);
  }
}
