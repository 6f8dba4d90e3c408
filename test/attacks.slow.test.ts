import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { slow } from "./support/attack-slow.ts";
import { inThread, useAttackTarget } from "./support/attack-target.ts";

const connections = 200;

describe("who keeps the server waiting is ended, and nobody else notices:", () => {
  const target = useAttackTarget({
    HEADER_TIMEOUT: "1s",
    BODY_TIMEOUT: "1s",
    DEFAULT_DEADLINE: "2s",
    STREAM_STALL_TIMEOUT: "1s",
  });

  for (const name of Object.keys(slow)) {
    test(`${connections} times: ${name}`, async () => {
      const answers = await target.survives(inThread<string>("./attack-slow.ts", "slow", name, connections));
      assert.equal(answers.length, connections);
    });
  }

  test("three thousand sockets that say nothing", async () => {
    const answers = await target.survives(inThread<string>("./attack-slow.ts", "slow", "silent", 3_000));
    assert.equal(answers.length, 3_000);
  });

  test("five thousand connections that come and go", async () => {
    const visits = await target.survives(inThread<number>("./attack-slow.ts", "visits", "brief", 5));
    assert.deepEqual(new Set(visits), new Set([1_000]));
  });

  test("streams whose window is never opened", async () => {
    const resets = await target.survives(inThread<number>("./attack-slow.ts", "closedWindows", "streams", 3));
    assert.deepEqual(new Set(resets), new Set([100]));
  });
});
