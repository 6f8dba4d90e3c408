import type { Parameters } from "fast-check";

/** How long one property may take in the suite: a bound against slow machines, which ends it early and well. */
const timeLimitMs = 2_500;

/**
 * How a property is run. In the suite the same few runs each time; by hand FUZZ_RUNS says how many (then without a
 * limit of time), and FUZZ_SEED which: a number, or `random` for one that the output names.
 *
 * @param numRuns how many in the suite
 */
export function fuzzSettings(numRuns: number): Parameters<unknown> & { readonly seed: number } {
  const { FUZZ_RUNS: runs, FUZZ_SEED: seed = "20251121" } = process.env;
  const chosen = seed === "random" ? Math.floor(Math.random() * 2 ** 31) : Number(seed);
  return {
    seed: chosen,
    ...(runs === undefined
      ? { numRuns, interruptAfterTimeLimit: timeLimitMs, markInterruptAsFailure: false }
      : { numRuns: Number(runs) }),
  };
}
