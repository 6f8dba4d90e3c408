import { setImmediate } from "node:timers/promises";
import type { PoolState } from "../../src/platform/database.ts";
import { withDeadline } from "./with-deadline.ts";

/** Resolves as soon as nobody uses any of a pool's connections, or waits for one: none has been lost. */
export async function untilIdle(pool: PoolState): Promise<void> {
  const poll = async (): Promise<void> => {
    while (pool.idle < pool.size || pool.waiting > 0) await setImmediate();
  };
  await withDeadline("an idle pool", poll());
}
