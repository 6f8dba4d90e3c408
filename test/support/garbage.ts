import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collects whatever nobody holds any more. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What a WeakRef has given out stays alive until the end of the job that asked, and what is found dead in one
  // round may have held something until the next.
  for (let round = 0; round < 4; round++) {
    await setImmediate();
    collect();
  }
}
