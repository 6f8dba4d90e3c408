import type { Growth } from "./growth.ts";
import type { SoakOptions } from "./options.ts";
import type { Sample } from "./samples.ts";
import { percentileMs, type Tally } from "./tally.ts";

/** What a run has found. */
export interface SoakReport {
  readonly seed: number;
  readonly seconds: number;
  readonly database: string;
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly skipped: number;
  readonly methods: readonly MethodReport[];
  readonly codes: Readonly<Record<string, number>>;
  readonly unexpected: Readonly<Record<string, number>>;
  readonly memory: readonly Growth[];
  readonly handles: { readonly start: number; readonly peak: number; readonly end: number };
  readonly loopDelayMs: { readonly median: number; readonly worst: number } | undefined;
  readonly writes: { readonly acknowledged: number; readonly missing: readonly string[] };
  readonly streams: { readonly readers: number; readonly events: number; readonly broken: readonly string[] };
  /** Why the run has failed; empty where it has not. */
  readonly faults: readonly string[];
}

/** One method by one protocol. */
export interface MethodReport {
  readonly name: string;
  readonly calls: number;
  readonly codes: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** What a run has measured. */
export interface Findings extends Pick<SoakReport, "database" | "memory" | "handles" | "writes" | "streams"> {
  readonly tally: Tally;
  readonly elapsedSeconds: number;
  readonly samples: readonly Sample[];
}

/** What a server may answer that is busy; not what it may answer that is broken. */
const excused = /: (?:ResourceExhausted|Unavailable|DeadlineExceeded)$/;

/** So many more sockets at the end than at the start are none: a pool has opened its connections. */
const allowedHandles = 16;

/** Puts a report together and judges it. */
export function createReport({ seed }: SoakOptions, findings: Findings): SoakReport {
  const { tally, elapsedSeconds, samples, memory, handles, writes, streams, database } = findings;
  const methods = [...tally.methods.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  const calls = methods.reduce((sum, { count }) => sum + count, 0);
  const codes: Record<string, number> = {};
  for (const method of methods) {
    for (const [code, count] of method.codes) codes[code] = (codes[code] ?? 0) + count;
  }
  const delays = samples.flatMap(({ loopDelaySeconds }) => loopDelaySeconds ?? []).sort((a, b) => a - b);
  const median = delays[Math.floor(delays.length / 2)];
  return {
    seed,
    seconds: elapsedSeconds,
    database,
    calls,
    callsPerSecond: calls / elapsedSeconds,
    skipped: tally.skipped,
    methods: methods.map((method) => ({
      name: method.name,
      calls: method.count,
      codes: Object.fromEntries(method.codes),
      p50Ms: percentileMs(method, 0.5),
      p99Ms: percentileMs(method, 0.99),
      p999Ms: percentileMs(method, 0.999),
    })),
    codes,
    unexpected: Object.fromEntries(tally.unexpected),
    memory,
    handles,
    loopDelayMs:
      median === undefined ? undefined : { median: median * 1_000, worst: (delays.at(-1) ?? 0) * 1_000 },
    writes,
    streams,
    faults: [
      ...writes.missing,
      ...streams.broken.map((text) => `a stream is not whole: ${text}`),
      ...[...tally.unexpected]
        .filter(([what]) => !excused.test(what))
        .map(([what, count]) => `${count} times an answer that nobody expected: ${what}`),
      ...memory.filter(({ isLeak }) => isLeak).map(({ what }) => `${what} grows without an end`),
      ...(handles.end > handles.start + allowedHandles
        ? [`${handles.end} open sockets at the end, ${handles.start} at the start`]
        : []),
      ...(calls === 0 || writes.acknowledged === 0 || streams.events === 0 ? ["nothing has happened"] : []),
    ],
  };
}
