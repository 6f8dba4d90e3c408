/** Random choices that a seed repeats. */
export interface SeededRandom {
  /** A whole number from `minimum` to `maximum`, both included. */
  integer(minimum: number, maximum: number): number;
  /** True once in `times` times, on average. */
  oneIn(times: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
  /** Any of the items, or undefined where there are none. */
  pickAny<T>(items: readonly T[]): T | undefined;
  /** A generator of its own, so that what one actor draws does not depend on how the others are scheduled. */
  fork(): SeededRandom;
}

/** Creates the generator (mulberry32) of a seed. */
export function createSeededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;

  function nextUint32(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
  const integer = (minimum: number, maximum: number): number =>
    minimum + (nextUint32() % (maximum - minimum + 1));

  return {
    integer,
    oneIn: (times) => integer(1, times) === 1,
    pick: (items) => items[integer(0, items.length - 1)] as (typeof items)[number],
    pickAny: (items) => items[integer(0, items.length - 1)],
    fork: () => createSeededRandom(nextUint32()),
  };
}

/**
 * Runs a test with random choices, from TEST_SEED or a seed of its own, which it names where the test fails.
 * The seed repeats the choices; the interleaving of what runs at once stays the machine's.
 */
export async function withSeed(work: (random: SeededRandom) => Promise<void>): Promise<void> {
  const seed = Number(process.env["TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  try {
    await work(createSeededRandom(seed));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`failed with TEST_SEED=${seed}: ${message}`, { cause: error });
  }
}
