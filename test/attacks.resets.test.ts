import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resetFloods } from "./support/attack-headers.ts";
import { inThread, useAttackTarget } from "./support/attack-target.ts";

describe("streams that are over as soon as they have begun", () => {
  const target = useAttackTarget();

  for (const name of Object.keys(resetFloods)) {
    test(`end their connection, and nobody else notices: ${name}`, async () => {
      const outcomes = await target.survives(inThread("./attack-headers.ts", "resetFloods", name, 2));
      assert.deepEqual(
        outcomes.map(({ end }) => end),
        outcomes.map(() => "ended"),
      );
    });
  }
});
