import { Code, ConnectError } from "@connectrpc/connect";

/** What became of the calls of one method by one protocol. */
export interface MethodTally {
  readonly name: string;
  count: number;
  readonly codes: Map<string, number>;
  /** How many calls took how long: the n-th bucket ends at {@link bucketBase} to the n-th, in milliseconds. */
  readonly buckets: Map<number, number>;
}

/** Buckets are this much wider than the one before, so that a percentile is right to a twentieth. */
const bucketBase = 1.05;

/** What became of all calls. */
export class Tally {
  readonly methods = new Map<string, MethodTally>();
  /** Outcomes that the caller did not expect, by what they are. */
  readonly unexpected = new Map<string, number>();
  /** Calls that were not made, since too many were under way. */
  skipped = 0;

  /** Takes note of a call. @param code of its status, e.g. `NotFound`; `OK` */
  note(name: string, code: string, elapsedMs: number, expected: readonly string[]): void {
    let method = this.methods.get(name);
    if (method === undefined) {
      method = { name, count: 0, codes: new Map(), buckets: new Map() };
      this.methods.set(name, method);
    }
    method.count += 1;
    add(method.codes, code);
    add(method.buckets, Math.ceil(Math.log(Math.max(elapsedMs, 0.01)) / Math.log(bucketBase)));
    if (!expected.includes(code)) add(this.unexpected, `${name}: ${code}`);
  }
}

/** The status of a failure. */
export function codeOf(error: unknown): string {
  return error instanceof ConnectError ? (Code[error.code] ?? "Unknown") : "Unknown";
}

/** How long the given share of a method's calls took at most, in milliseconds. */
export function percentileMs({ buckets, count }: MethodTally, share: number): number {
  let seen = 0;
  for (const [bucket, calls] of [...buckets].sort(([one], [other]) => one - other)) {
    seen += calls;
    if (seen >= count * share) return bucketBase ** bucket;
  }
  return 0;
}

/** One more of something. */
export function add(counts: Map<string, number>, key: string): void;
export function add(counts: Map<number, number>, key: number): void;
export function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
