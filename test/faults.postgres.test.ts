import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type FaultSystem, startFaultSystem } from "./support/fault-system.ts";
import { whyNoOwnPostgres } from "./support/own-postgres.ts";
import { withSeed } from "./support/seeded-random.ts";

/** Runs a fault in the middle of a load, and checks that nothing is lost by it. */
function testFault(name: string, cause: (system: FaultSystem) => Promise<void>): void {
  test(name, (t: TestContext) =>
    withSeed(async (random) => {
      const system = await startFaultSystem(t, random);
      await system.load.afterWrites(random.integer(20, 100));
      await cause(system);
      await system.checkRecovery();
    }),
  );
}

describe("PostgreSQL under load loses nothing and takes nobody down with it", {
  skip: whyNoOwnPostgres,
}, () => {
  testFault("when its postmaster is killed, and started again later", async ({ postgres, health }) => {
    await postgres.stop("killed");
    await health.until("NOT_SERVING");
    await postgres.start();
  });

  testFault("when one of its processes is killed, so that it resets all of them", async (system) => {
    const { postgres, load } = system;
    await postgres.killBackend("user-bridge");
    await load.afterWrites(20);
    assert.ok(load.record.failures.size > 0, "nobody noticed");
  });

  testFault("when all its processes stand still for a while", async ({ postgres, health }) => {
    postgres.freeze();
    await health.until("NOT_SERVING");
    postgres.thaw();
  });

  testFault("when it is restarted fast", async ({ postgres, load }) => {
    await postgres.stop("fast");
    await postgres.start();
    await load.afterWrites(20);
    assert.ok(load.record.failures.size > 0, "nobody noticed");
  });
});
