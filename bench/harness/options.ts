import { parseArgs } from "node:util";

/** How a run is made. Times are seconds. */
export interface Options {
  /** Names of the scenarios to run. */
  readonly only: readonly string[] | undefined;
  /** Names of the peers to run; the service itself always runs. */
  readonly peers: readonly string[] | undefined;
  readonly smoke: boolean;
  readonly growth: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Users in the database of every scenario but growth. */
  readonly users: number;
  /** Users and events in the large database of growth. */
  readonly growthUsers: number;
  /** Calls a second of the open loops. */
  readonly rate: number;
  /** Closed loops: connections, and calls in flight on each. */
  readonly connections: number;
  readonly streams: number;
  /** Calls in flight, one a connection, over HTTP/1.1. */
  readonly http1Connections: number;
  /** Accounts with a password. */
  readonly accounts: number;
  /** Who logs in at the same time, each on a connection of its own. */
  readonly loginCallers: number;
  /** Look-ups a second while they do. */
  readonly lightRate: number;
  readonly poolSize: number;
  readonly fanOut: { readonly subscribers: number; readonly rate: number };
  /** The fan-out whose latency is measured. */
  readonly fanOutLatency: { readonly subscribers: number; readonly rate: number };
  /** How often the rate of a fan-out may be doubled in search of the most that is sustained. */
  readonly fanOutDoublings: number;
  readonly idleStreams: number;
  readonly starts: number;
}

/** What `--help` prints. */
export const usage = `node bench/run.ts [options]

  --only a,b            scenarios by name (default: all; growth only with --growth or --full)
  --peers x,y           peers by name, or none; such a run prints, and writes no results
  --rounds 3            alternating rounds over all servers
  --seconds 5           length of each measurement
  --rate 2000           calls a second of the open loops
  --growth-users 10000000  users and events in the large database of growth
  --growth, --full      with the growth scenario, which fills gigabytes
  --smoke               seconds of everything with tiny numbers; asserts that it works, writes nothing
`;

const smokeSize = {
  users: 200,
  connections: 2,
  streams: 8,
  http1Connections: 8,
  accounts: 10,
  loginCallers: 2,
  lightRate: 20,
  fanOut: { subscribers: 20, rate: 20 },
  fanOutLatency: { subscribers: 10, rate: 20 },
  fanOutDoublings: 0,
  idleStreams: 200,
  starts: 1,
};

const fullSize = {
  users: 10_000,
  connections: 4,
  streams: 100,
  http1Connections: 64,
  accounts: 100,
  loginCallers: 8,
  lightRate: 200,
  fanOut: { subscribers: 1_000, rate: 500 },
  fanOutLatency: { subscribers: 200, rate: 1_000 },
  fanOutDoublings: 4,
  idleStreams: 10_000,
  starts: 5,
};

/** Reads the command line. @throws TypeError where it is wrong */
export function readOptions(commandLine: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...commandLine],
    options: {
      only: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      rate: { type: "string" },
      "growth-users": { type: "string" },
      growth: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      smoke: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const { smoke } = values;
  return {
    ...(smoke ? smokeSize : fullSize),
    only: readNames(values.only),
    peers: readNames(values.peers),
    smoke,
    growth: values.growth || values.full,
    rounds: readNumber("--rounds", values.rounds, smoke ? 1 : 3),
    seconds: readNumber("--seconds", values.seconds, smoke ? 0.5 : 5),
    warmUpSeconds: smoke ? 0.2 : 2,
    rate: readNumber("--rate", values.rate, smoke ? 50 : 2_000),
    growthUsers: readNumber("--growth-users", values["growth-users"], smoke ? 5_000 : 10_000_000),
    poolSize: 10,
  };
}

function readNames(text: string | undefined): string[] | undefined {
  return text?.split(",").filter((name) => name !== "" && name !== "none");
}

function readNumber(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0)) {
    throw new TypeError(`${name} must be a number above 0, not "${text}"`);
  }
  return value;
}
