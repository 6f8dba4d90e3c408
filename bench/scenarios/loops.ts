import type { Server } from "../harness/contender.ts";
import type { Context } from "../harness/context.ts";
import type { Flags } from "../harness/load.ts";
import type { Options } from "../harness/options.ts";
import type { Metric } from "../harness/results.ts";
import { callMetrics, type Sample, sampleCalls } from "../harness/rounds.ts";
import { closedLoop, describeClosedLoop, timing } from "./flags.ts";

/** A server that is this much faster than the open loop's rate in a closed one takes part in the open one. */
const headroom = 1.25;

/** Measures calls of one kind as fast as they go, then at a fixed rate. */
export async function measureLoops(context: Context, server: Server, calls: Flags): Promise<Sample> {
  const { options, load } = context;
  const target = { address: server.address, "server-pid": server.pid };
  const closed = sampleCalls(await load.calls("unary", { ...closedLoop(context), ...target, ...calls }));
  if ((closed.metrics["callsPerSecond"] ?? 0) < options.rate * headroom) {
    return closed;
  }
  const open = await load.calls("unary", {
    ...timing({ ...options, warmUpSeconds: Math.min(options.warmUpSeconds, 0.5) }),
    ...target,
    users: options.users,
    c: options.connections,
    rate: options.rate,
    ...calls,
  });
  return {
    metrics: {
      ...closed.metrics,
      openP50Ms: open.latencyMs.p50,
      openP99Ms: open.latencyMs.p99,
      openP999Ms: open.latencyMs.p999,
    },
    failures: { ...closed.failures, ...open.failures },
  };
}

/** What {@link measureLoops} measures. */
export function loopMetrics(options: Options): readonly Metric[] {
  const rate = formatRate(options);
  return [
    ...callMetrics,
    { key: "openP50Ms", title: `p50 ms at ${rate}`, digits: 2 },
    { key: "openP99Ms", title: `p99 ms at ${rate}`, digits: 2 },
    { key: "openP999Ms", title: `p99.9 ms at ${rate}`, digits: 2 },
  ];
}

/** How {@link measureLoops} is described; begins in the middle of a sentence. */
export function describeLoops(context: Context): string {
  return (
    `${describeClosedLoop(context)}. Then an open loop: Poisson arrivals at ${formatRate(context.options)}, latency ` +
    "from the moment a call was due; servers without a quarter of headroom above that rate are left out."
  );
}

function formatRate({ rate }: Options): string {
  return `${rate.toLocaleString("en")}/s`;
}
