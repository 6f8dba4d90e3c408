/** A measured quantity over all rounds. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** In the order of the rounds. */
  readonly values: readonly number[];
}

/** Summarises the rounds. @throws RangeError where there is none */
export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) {
    throw new RangeError("there is nothing to summarise");
  }
  const middle = (sorted.length - 1) / 2;
  const [lower = min, upper = min] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return { median: (lower + upper) / 2, min, max, values };
}
