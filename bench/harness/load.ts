import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bench, cache } from "./places.ts";
import { environment, run, startProcess } from "./process.ts";

/** Quantiles in milliseconds. */
export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What a load of calls came to; bench/load/tally.go explains each. */
export interface CallReport {
  readonly ok: number;
  readonly okInAll: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly perSecond: number;
  readonly latencyMs: Quantiles;
  readonly sendLagMs?: Quantiles;
  readonly serverCpuSeconds: number;
  readonly generatorCpuSeconds: number;
}

/** What a fan-out came to; bench/load/fanout.go explains each. */
export interface FanOutReport {
  readonly registered: number;
  readonly deliveriesPerSecond: number;
  readonly expectedPerSecond: number;
  readonly leastEvents: number;
  readonly mostEvents: number;
  readonly gaps: number;
  readonly catchUpMs: number;
  readonly sinceDueMs: Quantiles;
  readonly sinceOccurredMs: Quantiles;
  readonly calls: CallReport;
  readonly streamFailures: Readonly<Record<string, number>>;
  readonly arrivals?: Arrivals;
}

/** When each event arrived on each stream; bench/load/arrivals.go explains it. Times are microseconds since 1970. */
export interface Arrivals {
  readonly firstRevision: number;
  readonly from: number;
  readonly to: number;
  /** For each stream, and each time that something arrived: how many events there were by then, and the time. */
  readonly streams: readonly (readonly (readonly [events: number, at: number])[])[];
}

/** The flags of a load, by name. */
export type Flags = Readonly<Record<string, string | number>>;

/** The load generator. */
export interface Load {
  calls(mode: "unary" | "http1", flags: Flags): Promise<CallReport>;
  fanOut(flags: Flags): Promise<FanOutReport>;
  /** Opens event streams and holds them until closed. */
  hold(flags: Flags): Promise<{ close(): Promise<void> }>;
}

/** No load takes longer; it bounds a server that hangs. */
const loadTimeoutMs = 180_000;

/** Builds the generator. @throws where Go is missing */
export async function buildLoad(): Promise<Load> {
  await mkdir(cache, { recursive: true });
  const binary = join(cache, "load");
  await run(["go", "build", "-o", binary, "."], { cwd: join(bench, "load") });

  const command = (mode: string, flags: Flags): [string, ...string[]] => [
    binary,
    mode,
    ...Object.entries(flags).map(([name, value]) => `-${name}=${value}`),
  ];
  const report = async (mode: string, flags: Flags): Promise<unknown> =>
    JSON.parse(await run(command(mode, flags), { timeoutMs: loadTimeoutMs }));

  return {
    calls: async (mode, flags) => (await report(mode, flags)) as CallReport,
    fanOut: async (flags) => (await report("fanout", flags)) as FanOutReport,
    async hold(flags) {
      const holder = await startProcess(command("idle", flags), /\n/, { env: environment() });
      return {
        async close() {
          holder.child.stdin?.end();
          await holder.stop();
        },
      };
    },
  };
}
