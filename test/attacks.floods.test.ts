import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { controlFloods } from "./support/attack-http2.ts";
import { inThread, useAttackTarget } from "./support/attack-target.ts";

describe("a connection that is about itself is ended, and nobody else notices:", () => {
  const target = useAttackTarget();

  for (const name of Object.keys(controlFloods)) {
    test(name, async () => {
      const outcomes = await target.survives(inThread("./attack-http2.ts", "controlFloods", name));
      assert.deepEqual(
        outcomes.map(({ end }) => end),
        outcomes.map(() => "ended"),
      );
    });
  }
});
