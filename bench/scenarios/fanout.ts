import type { Server } from "../harness/contender.ts";
import type { Context, Scenario } from "../harness/context.ts";
import type { FanOutReport, Flags } from "../harness/load.ts";
import { measureRounds, type Sample } from "../harness/rounds.ts";
import { subjectName } from "../harness/subject.ts";
import { type CommitDelay, measureCommitDelay } from "./commit-delay.ts";
import { timing } from "./flags.ts";

/** Below this share of what was due, or above this delay behind the last call, a rate is not sustained. */
const sustained = { share: 0.97, catchUpMs: 1_000 };

/** How often the search halves the span between a rate that is sustained and one that is not. */
const bisections = 2;

/** Sends the events of registrations to many subscribers. */
export const fanOut: Scenario = {
  name: "fanout",
  async run(context: Context) {
    const { options } = context;
    const { subscribers, rate } = options.fanOut;
    const latency = options.fanOutLatency;
    const measured = await measureRounds(context, ["fanout"], { fanout: true }, async (server, contender) => {
      // The peers commit nothing.
      const commits = contender.name === subjectName;
      const first = await distribute(context, server, latency, commits ? { arrivals: "true" } : {});
      // What was lost has no delay, and what is left would flatter.
      const delay =
        first.arrivals !== undefined && isComplete(first)
          ? await measureCommitDelay(context.databaseUrl, first.arrivals)
          : undefined;
      const found = await findMost(context, server);
      return combine(first, delay, found);
    });
    const each = (value: { subscribers: number; rate: number }) =>
      `${value.rate.toLocaleString("en")} events/s to ${value.subscribers.toLocaleString("en")} subscribers`;
    return {
      name: "fanout",
      title: "Fan-out of live events, gRPC",
      method:
        "RegisterUser calls at a fixed rate make the events, through the server itself: user-bridge commits each " +
        "to Postgres first, the peers only hand it on in memory. Latency is of the deliveries at " +
        `${each(latency)}: from PostgreSQL's own time of the commit, which it takes just before the flush to disk, ` +
        "until the event arrives (all deliveries); from the moment a registration was due until then (those to every " +
        "25th subscriber); and until the registration is answered. The most that " +
        `is sustained is searched for from ${each({ subscribers, rate })} on: every stream got every event in order, ` +
        "at least 97 % of them within the measurement, and all within a second of the last call.",
      chart: { key: "mostDeliveriesPerSecond", title: "Fan-out: sustained deliveries/s" },
      metrics: [
        { key: "mostDeliveriesPerSecond", title: "sustained deliveries/s", digits: 0 },
        { key: "commitP50Ms", title: "commit → event p50 ms", digits: 2 },
        { key: "commitP99Ms", title: "commit → event p99 ms", digits: 2 },
        { key: "commitP999Ms", title: "commit → event p99.9 ms", digits: 2 },
        { key: "p50Ms", title: "call → event p50 ms", digits: 2 },
        { key: "p99Ms", title: "call → event p99 ms", digits: 2 },
        { key: "answerP99Ms", title: "call → answer p99 ms", digits: 2 },
        { key: "serverCpuUs", title: "server CPU µs/delivery at that load", digits: 2 },
      ],
      ...measured,
    };
  },
};

function distribute(
  context: Context,
  server: Server,
  size: { readonly subscribers: number; readonly rate: number },
  flags: Flags = {},
): Promise<FanOutReport> {
  const { options } = context;
  return context.load.fanOut({
    ...timing({ ...options, warmUpSeconds: Math.min(options.warmUpSeconds, 1) }),
    address: server.address,
    "server-pid": server.pid,
    prefix: context.nextPrefix(),
    streams: size.subscribers,
    // Below the service's limit of streams on a connection.
    "subscriber-connections": Math.ceil(size.subscribers / 50),
    "sample-every": 25,
    rate: size.rate,
    c: 2,
    ...flags,
  });
}

/** Whether every stream received every event, in order and in time. */
function isSustained(report: FanOutReport): boolean {
  return (
    isComplete(report) &&
    report.deliveriesPerSecond >= report.expectedPerSecond * sustained.share &&
    report.catchUpMs <= sustained.catchUpMs
  );
}

function isComplete(report: FanOutReport): boolean {
  const { registered, leastEvents, mostEvents, gaps, calls, streamFailures } = report;
  const isSame = leastEvents === registered && mostEvents === registered;
  return isSame && gaps === 0 && calls.failed === 0 && Object.keys(streamFailures).length === 0;
}

/** Doubles the rate until it is not sustained (or halves it until it is), then narrows it down. */
async function findMost(context: Context, server: Server): Promise<number> {
  const { subscribers, rate } = context.options.fanOut;
  let most = 0;
  let sustainedRate = 0;
  let lostRate = 0;
  async function attempt(next: number): Promise<boolean> {
    // A server that breaks under a rate does not sustain it.
    const report = await distribute(context, server, { subscribers, rate: next }).catch(() => undefined);
    const holds = report !== undefined && isSustained(report);
    if (holds) {
      sustainedRate = next;
      // What piled up in the warm-up may arrive in the measurement: more than was due is not a rate.
      most = Math.max(most, Math.min(report.deliveriesPerSecond, report.expectedPerSecond));
    } else {
      lostRate = next;
    }
    context.say(`    ${next.toFixed(0)} events/s: ${holds ? "sustained" : "not sustained"}`);
    return holds;
  }
  if (await attempt(rate)) {
    for (
      let step = 0;
      step < context.options.fanOutDoublings && (await attempt(sustainedRate * 2));
      step += 1
    );
  } else {
    for (let step = 0; step < context.options.fanOutDoublings && !(await attempt(lostRate / 2)); step += 1);
  }
  for (let step = 0; sustainedRate > 0 && lostRate > 0 && step < bisections; step += 1) {
    await attempt(Math.sqrt(sustainedRate * lostRate));
  }
  return most;
}

function combine(
  first: FanOutReport,
  delay: CommitDelay | undefined,
  mostDeliveriesPerSecond: number,
): Sample {
  const deliveries = first.deliveriesPerSecond * (first.calls.ok / first.calls.perSecond);
  return {
    metrics: {
      mostDeliveriesPerSecond,
      ...(delay && {
        commitP50Ms: delay.p50Ms,
        commitP99Ms: delay.p99Ms,
        commitP999Ms: delay.p999Ms,
      }),
      p50Ms: first.sinceDueMs.p50,
      p99Ms: first.sinceDueMs.p99,
      answerP99Ms: first.calls.latencyMs.p99,
      serverCpuUs: (first.calls.serverCpuSeconds * 1e6) / deliveries,
    },
    failures: {
      ...first.calls.failures,
      ...first.streamFailures,
      ...(!isComplete(first) && { "not every stream got every event": 1 }),
    },
  };
}
