import type { Sample } from "./samples.ts";

/** How much something has grown, and whether that is a leak. */
export interface Growth {
  readonly what: string;
  readonly startBytes: number;
  readonly peakBytes: number;
  readonly endBytes: number;
  /** Of the floors, after the warm-up; undefined where the run is too short to tell. */
  readonly bytesPerMinute: number | undefined;
  /** What the slope adds up to over the time that it was measured for. */
  readonly grownBytes: number | undefined;
  readonly allowedBytes: number;
  readonly isLeak: boolean;
}

/** The beginning of a run, in which caches fill and code is compiled. */
const warmUpShare = 0.3;
/** A shorter time says nothing: a garbage collection comes every few seconds. */
const shortestSeconds = 45;
const windows = 8;

/**
 * Judges memory by its floor: the time behind the warm-up is cut into eight windows, and the least of each is what is left
 * after a garbage collection. The slope is the median of the slopes between all pairs of windows (Theil and Sen), which one
 * odd window does not bend. It is a leak where that slope adds up to more than is allowed, and where no later window goes
 * back to where the first was.
 */
export function judgeGrowth(
  what: string,
  samples: readonly Sample[],
  read: (sample: Sample) => number | undefined,
  allowedBytes: number,
): Growth | undefined {
  const points = samples.flatMap((sample) => {
    const bytes = read(sample);
    return bytes === undefined ? [] : [{ seconds: sample.seconds, bytes }];
  });
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const from = first.seconds + (last.seconds - first.seconds) * warmUpShare;
  const spanSeconds = last.seconds - from;
  const floors = Array.from({ length: windows }, (_, index) => {
    const begin = from + (spanSeconds * index) / windows;
    const end = from + (spanSeconds * (index + 1)) / windows;
    const inside = points.filter(({ seconds }) => seconds >= begin && seconds <= end);
    return { seconds: (begin + end) / 2, bytes: Math.min(...inside.map(({ bytes }) => bytes)) };
  }).filter(({ bytes }) => Number.isFinite(bytes));
  const isJudged = spanSeconds >= shortestSeconds && floors.length === windows;
  const slope = isJudged ? medianSlope(floors) : undefined;
  const grownBytes = slope === undefined ? undefined : slope * spanSeconds;
  const [firstFloor, ...later] = floors.map(({ bytes }) => bytes);
  const staysUp = firstFloor !== undefined && later.every((bytes) => bytes > firstFloor);
  return {
    what,
    startBytes: first.bytes,
    peakBytes: Math.max(...points.map(({ bytes }) => bytes)),
    endBytes: last.bytes,
    bytesPerMinute: slope === undefined ? undefined : slope * 60,
    grownBytes,
    allowedBytes,
    isLeak: grownBytes !== undefined && grownBytes > allowedBytes && staysUp,
  };
}

function medianSlope(points: readonly { readonly seconds: number; readonly bytes: number }[]): number {
  const slopes = points.flatMap((one, index) =>
    points.slice(index + 1).map((other) => (other.bytes - one.bytes) / (other.seconds - one.seconds)),
  );
  const sorted = slopes.sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
