import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type FaultLoadOptions, patientMs } from "./support/fault-load.ts";
import { type FaultSystem, startFaultSystem } from "./support/fault-system.ts";
import type { WireMessage } from "./support/fault-wire.ts";
import { whyNoOwnPostgres } from "./support/own-postgres.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** Runs a fault in the middle of a load, and checks that nothing is lost by it. */
function testFault(
  name: string,
  cause: (system: FaultSystem, random: SeededRandom) => Promise<void>,
  options: FaultLoadOptions = {},
): void {
  test(name, (t: TestContext) =>
    withSeed(async (random) => {
      const system = await startFaultSystem(t, random, options);
      await system.load.afterWrites(random.integer(20, 100));
      await cause(system, random);
      await system.checkRecovery();
    }),
  );
}

/** Moments of a transaction at which its outcome is most easily got wrong. */
const moments: readonly [Moment, ...Moment[]] = [
  // It is rolled back, and the caller cannot know.
  [({ from, text }) => from === "client" && text.startsWith("commit\0"), "before"],
  // It is committed, and the caller cannot know.
  [({ from, text }) => from === "client" && text.startsWith("commit\0"), "after"],
  [({ type, text }) => type === "C" && text === "COMMIT\0", "before"],
  [({ type, text }) => type === "C" && text === "COMMIT\0", "after"],
  // A statement that is a transaction of its own: committed once the server is ready for the next.
  [({ type, text }) => type === "C" && text.startsWith("SELECT "), "before"],
  [({ type, text }) => type === "C" && text.startsWith("SELECT "), "after"],
];

type Moment = readonly [when: (message: WireMessage) => boolean, moment: "before" | "after"];

describe("broken connections to PostgreSQL lose nothing", { skip: whyNoOwnPostgres }, () => {
  testFault("cut anywhere in an answer, again and again", async ({ proxy, load }, random) => {
    proxy.cutAfterBytes(() => random.integer(0, 20_000));
    await withDeadline("failures", load.record.failed.afterNext(20));
    proxy.mend();
  });

  testFault("cut around the commit, again and again", async ({ proxy, load }, random) => {
    for (let round = 1; round <= 18; round++) {
      await withDeadline("a cut", proxy.cutAt(...random.pick(moments)));
      await load.afterWrites(5);
    }
    assert.ok(load.record.failures.size > 0, "nobody noticed");
  });

  testFault("that all go silent at once and never speak again", async ({ proxy, health }) => {
    proxy.blackHole();
    await health.until("NOT_SERVING");
    proxy.mend();
  });

  testFault(
    "that are slow, which is no reason to turn anybody away",
    async ({ proxy, load, health }) => {
      proxy.slowDown(20);
      await load.afterWrites(20);
      proxy.mend();
      assert.deepEqual(health.told, ["SERVING"]);
      assert.deepEqual([...load.record.failures], []);
    },
    { callTimeoutMs: patientMs },
  );
});
