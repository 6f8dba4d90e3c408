import { findMedian, type Results } from "../harness/results.ts";
import { subjectName } from "../harness/subject.ts";

/** What the project promises of its speed, and whether this run bears it out. */
export interface Bar {
  readonly what: string;
  readonly promise: string;
  /** Undefined where it was not measured. */
  readonly measured: string | undefined;
  readonly isMet: boolean | undefined;
}

interface Ratio {
  readonly scenario: string;
  readonly key: string;
  /** The least ratio of the subject's median to the other's. */
  readonly least: Readonly<Record<string, number>>;
}

const ratios: readonly Ratio[] = [
  {
    scenario: "getuser-grpc",
    key: "callsPerSecond",
    least: { "connect-es": 5, "grpc-js": 2, "grpc-go": 1.2, python: 10 },
  },
  { scenario: "getuser-connect-json-http1", key: "callsPerSecond", least: { "connect-es": 3 } },
  { scenario: "register-grpc", key: "callsPerSecond", least: { "grpc-go": 2, "grpc-js": 4, python: 10 } },
  { scenario: "empty-grpc", key: "callsPerSecond", least: { "node-http2-echo": 0.6, "grpc-js": 1.1 } },
  { scenario: "fanout", key: "mostDeliveriesPerSecond", least: { "grpc-js": 3 } },
];

interface Limit {
  readonly scenario: string;
  readonly row: string;
  readonly key: string;
  readonly what: string;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const limits: readonly Limit[] = [
  {
    scenario: "fanout",
    row: subjectName,
    key: "mostDeliveriesPerSecond",
    what: "deliveries/s",
    unit: "",
    atLeast: 500_000,
  },
  {
    scenario: "fanout",
    row: subjectName,
    key: "commitP99Ms",
    what: "commit to client, p99",
    unit: " ms",
    atMost: 50,
  },
  { scenario: "idle", row: subjectName, key: "kibibytesEach", what: "each stream", unit: " KiB", atMost: 20 },
  { scenario: "start", row: "npm start", key: "seconds", what: "to the first call", unit: " s", atMost: 2 },
];

const growthLimits = { slowdown: 1.3, resumeMs: 100 };

/** Compares all promises with the results. */
export function judge(results: Results): readonly Bar[] {
  return [
    ...judgeRatios(results),
    ...limits.map((limit) => judgeLimit(results, limit)),
    ...judgeGrowth(results),
  ];
}

function judgeRatios(results: Results): Bar[] {
  return ratios.flatMap(({ scenario, key, least }) =>
    Object.entries(least).map(([peer, factor]): Bar => {
      const [own, other] = [subjectName, peer].map((row) => findMedian(results, scenario, row, key));
      const ratio = own === undefined || other === undefined || other === 0 ? undefined : own / other;
      return {
        what: `${scenario}: against ${peer}`,
        promise: `≥ ${factor}×`,
        measured: ratio && `${ratio.toFixed(2)}×`,
        isMet: ratio && ratio >= factor,
      } as Bar;
    }),
  );
}

function judgeLimit(results: Results, limit: Limit): Bar {
  const { scenario, what, unit, atLeast, atMost } = limit;
  const value = findMedian(results, scenario, limit.row, limit.key);
  const format = (number: number) => `${number.toLocaleString("en", { maximumFractionDigits: 2 })}${unit}`;
  return {
    what: `${scenario}: ${what}`,
    promise: atLeast === undefined ? `≤ ${format(atMost ?? 0)}` : `≥ ${format(atLeast)}`,
    measured: value === undefined ? undefined : format(value),
    isMet: value === undefined ? undefined : value >= (atLeast ?? 0) && value <= (atMost ?? Infinity),
  };
}

function judgeGrowth(results: Results): Bar[] {
  const rows = results.scenarios.find(({ name }) => name === "growth")?.rows ?? [];
  const [small, large] = rows.map((row) => row.metrics["callsPerSecond"]?.median);
  const slowdown = small === undefined || large === undefined || large === 0 ? undefined : small / large;
  const resumeMs = rows[1]?.metrics["resumeMs"]?.median;
  return [
    {
      what: `growth: GetUser, ${rows[0]?.name ?? "small"} against ${rows[1]?.name ?? "large"}`,
      promise: `≤ ${growthLimits.slowdown}×`,
      measured: slowdown === undefined ? undefined : `${slowdown.toFixed(2)}×`,
      isMet: slowdown === undefined ? undefined : slowdown <= growthLimits.slowdown,
    },
    {
      what: "growth: resuming deep in the log",
      promise: `≤ ${growthLimits.resumeMs} ms`,
      measured: resumeMs === undefined ? undefined : `${resumeMs.toFixed(1)} ms`,
      isMet: resumeMs === undefined ? undefined : resumeMs <= growthLimits.resumeMs,
    },
  ];
}
