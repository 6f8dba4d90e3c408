import type { Capability, Contender, Role, Server } from "./contender.ts";
import type { Context } from "./context.ts";
import type { CallReport } from "./load.ts";
import type { Metric, Row, ScenarioResult } from "./results.ts";
import { summarize } from "./statistics.ts";

/** What one server did in one round. */
export interface Sample {
  readonly metrics: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<string, number>>;
}

/** What is measured of a load of calls; the keys are those of {@link sampleCalls}. */
export const callMetrics: readonly Metric[] = [
  { key: "callsPerSecond", title: "calls/s", digits: 0 },
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "serverCpuUs", title: "server CPU µs/call", digits: 1 },
];

/** The metrics of a load of calls. */
export function sampleCalls(report: CallReport): Sample {
  return {
    metrics: {
      callsPerSecond: report.perSecond,
      p50Ms: report.latencyMs.p50,
      p99Ms: report.latencyMs.p99,
      ...(report.ok > 0 && {
        serverCpuUs: (report.serverCpuSeconds * 1e6) / report.ok,
        // Only for the JSON: what the measurement itself takes away.
        generatorCpuUs: (report.generatorCpuSeconds * 1e6) / report.okInAll,
      }),
    },
    failures: report.failures,
  };
}

/**
 * Measures every server that has one of the capabilities, one after another, then all of them again: a machine that slows down
 * for a while slows all of them down. Each is started for its turn alone and stopped after it.
 */
export async function measureRounds(
  context: Context,
  capabilities: readonly Capability[],
  role: Partial<Role>,
  measure: (server: Server, contender: Contender) => Promise<Sample>,
): Promise<Pick<ScenarioResult, "rows" | "skipped">> {
  const { options, contenders, databaseUrl } = context;
  const able = contenders.filter((contender) => capabilities.some((one) => contender.capabilities.has(one)));
  const present = able.filter((contender) => contender.unavailable === undefined);
  const samples = new Map<string, Sample[]>(present.map((contender) => [contender.name, []]));
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const contender of present) {
      context.say(`  round ${round}: ${contender.name}`);
      const sample = await takeTurn(contender, { databaseUrl, poolSize: options.poolSize, ...role }, measure);
      samples.get(contender.name)?.push(sample);
    }
  }
  return {
    rows: [...samples].map(([name, taken]) => toRow(name, taken)),
    skipped: able.flatMap(({ name, unavailable }) => (unavailable ? [{ name, reason: unavailable }] : [])),
  };
}

async function takeTurn(
  contender: Contender,
  role: Role,
  measure: (server: Server, contender: Contender) => Promise<Sample>,
): Promise<Sample> {
  const server = await contender.start(role);
  try {
    return await measure(server, contender);
  } catch (error) {
    // A server that fails is a result, and must not cost the others theirs.
    const text = error instanceof Error ? error.message.trim().split("\n").at(-1) : String(error);
    return { metrics: {}, failures: { [text ?? ""]: 1 } };
  } finally {
    await server.stop();
  }
}

/** Summarises what one server did in all rounds. */
export function toRow(name: string, samples: readonly Sample[]): Row {
  const keys = new Set(samples.flatMap((sample) => Object.keys(sample.metrics)));
  const failures: Record<string, number> = {};
  for (const [kind, count] of samples.flatMap((sample) => Object.entries(sample.failures))) {
    failures[kind] = (failures[kind] ?? 0) + count;
  }
  const metrics = [...keys].map((key) => {
    const values = samples.map((sample) => sample.metrics[key]).filter((value) => value !== undefined);
    return [key, summarize(values)] as const;
  });
  return { name, metrics: Object.fromEntries(metrics), failures };
}
