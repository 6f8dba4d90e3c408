import type { Context, Scenario } from "../harness/context.ts";
import { callMetrics, measureRounds, sampleCalls } from "../harness/rounds.ts";
import { closedLoop, describeClosedLoop, timing } from "./flags.ts";

/** A server that is this much faster than the open loop's rate in a closed one takes part in the open one. */
const headroom = 1.25;

/** Looks users up by email over gRPC: as fast as it goes, then at a fixed rate. */
export const getUserGrpc: Scenario = {
  name: "getuser-grpc",
  async run(context: Context) {
    const { options, load } = context;
    const measured = await measureRounds(context, ["grpc"], {}, async (server) => {
      const target = { address: server.address, "server-pid": server.pid };
      const closed = sampleCalls(await load.calls("unary", { ...closedLoop(context), ...target }));
      if ((closed.metrics["callsPerSecond"] ?? 0) < options.rate * headroom) {
        return closed;
      }
      const open = await load.calls("unary", {
        ...timing({ ...options, warmUpSeconds: Math.min(options.warmUpSeconds, 0.5) }),
        ...target,
        users: options.users,
        c: options.connections,
        rate: options.rate,
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
    });
    const rate = `${options.rate.toLocaleString("en")}/s`;
    return {
      name: "getuser-grpc",
      title: "GetUser by email, gRPC",
      method:
        `Each call looks up one of ${options.users.toLocaleString("en")} users, at random, through Postgres; ` +
        `${describeClosedLoop(context)}. Then an open loop: Poisson arrivals at ${rate}, latency from the moment ` +
        "a call was due; servers without a quarter of headroom above that rate are left out.",
      chart: { key: "callsPerSecond", title: "GetUser, gRPC: calls/s" },
      metrics: [
        ...callMetrics,
        { key: "openP50Ms", title: `p50 ms at ${rate}`, digits: 2 },
        { key: "openP99Ms", title: `p99 ms at ${rate}`, digits: 2 },
        { key: "openP999Ms", title: `p99.9 ms at ${rate}`, digits: 2 },
      ],
      ...measured,
    };
  },
};
