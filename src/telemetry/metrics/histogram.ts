import type { Labels, Sample } from "./metric-family.ts";

/** Upper bounds, ascending, and what turns an observed number into their unit. */
export interface HistogramShape {
  readonly bounds: readonly number[];
  /** So many of what is observed are one of the bounds' unit: 1000 where milliseconds are observed. */
  readonly perUnit: number;
}

/** Seconds that calls take, observed in milliseconds. */
export const callSeconds: HistogramShape = {
  bounds: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  perUnit: 1_000,
};

/** Seconds that streams last, observed in milliseconds. */
export const streamSeconds: HistogramShape = {
  bounds: [0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400],
  perUnit: 1_000,
};

/** Bytes, from a small message to the largest that may be allowed. */
export const messageBytes: HistogramShape = {
  bounds: [64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216],
  perUnit: 1,
};

/** How many of something. */
export const itemCounts: HistogramShape = {
  bounds: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
  perUnit: 1,
};

/**
 * Counts observations by size, in plain numbers: to observe costs some nanoseconds. prom-client's own finds its labels
 * by a text that it makes of them each time.
 */
export class Histogram {
  readonly #shape: HistogramShape;
  readonly #bounds: Float64Array;
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(shape: HistogramShape) {
    this.#shape = shape;
    this.#bounds = Float64Array.from(shape.bounds, (bound) => bound * shape.perUnit);
    this.#counts = new Float64Array(shape.bounds.length + 1);
  }

  /** @param value in the unit that is observed */
  observe(value: number): void {
    const bounds = this.#bounds;
    const { length } = bounds;
    let index = 0;
    while (index < length && value > (bounds[index] as number)) index += 1;
    (this.#counts[index] as number) += 1;
    this.#sum += value;
  }

  /** As Prometheus has it: each bucket holds those below it, too. */
  samples(name: string, labels: Labels): readonly Sample[] {
    const { bounds, perUnit } = this.#shape;
    let count = 0;
    const buckets = [...bounds, "+Inf"].map((le, index): Sample => {
      count += this.#counts[index] as number;
      return { labels: { ...labels, le }, value: count, metricName: `${name}_bucket` };
    });
    return [
      ...buckets,
      { labels, value: this.#sum / perUnit, metricName: `${name}_sum` },
      { labels, value: count, metricName: `${name}_count` },
    ];
  }
}
