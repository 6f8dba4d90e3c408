import { join } from "node:path";
import { accountPassword, hashAccountPassword, passwordCost, setPasswords } from "../harness/accounts.ts";
import type { Server } from "../harness/contender.ts";
import type { Context, Scenario } from "../harness/context.ts";
import type { Flags } from "../harness/load.ts";
import type { Options } from "../harness/options.ts";
import { bench } from "../harness/places.ts";
import { run } from "../harness/process.ts";
import { type Sample, sampleCalls, toRow } from "../harness/rounds.ts";
import { findSubject, subjectName } from "../harness/subject.ts";
import { timing } from "./flags.ts";

/** The row of the hash alone. */
const argon2Name = "argon2 alone";

/** A login takes tens of milliseconds and, where the machine is busy, hundreds: less shows none. */
const leastSeconds = 2;

/** Logs in over gRPC, and looks users up meanwhile. */
export const authenticate: Scenario = {
  name: "authenticate",
  async run(context: Context) {
    const { options, say } = context;
    const passwordHash = await hashAccountPassword();
    await setPasswords(context.databaseUrl, options.accounts, passwordHash);
    const samples = { service: [] as Sample[], argon2: [] as Sample[] };
    for (let round = 1; round <= options.rounds; round += 1) {
      say(`  round ${round}: ${subjectName}`);
      samples.service.push(await measureService(context));
      say(`  round ${round}: ${argon2Name}`);
      samples.argon2.push(await measureArgon2(context, passwordHash));
    }
    return {
      name: "authenticate",
      title: "Authenticate, gRPC",
      method: describe(context),
      metrics: [
        { key: "callsPerSecond", title: "logins/s", digits: 1 },
        { key: "p50Ms", title: "p50 ms", digits: 1 },
        { key: "p99Ms", title: "p99 ms", digits: 1 },
        { key: "serverCpuUs", title: "server CPU µs/login", digits: 0 },
        { key: "quietP50Ms", title: "GetUser p50 ms, no logins", digits: 2 },
        { key: "busyP50Ms", title: "GetUser p50 ms, during logins", digits: 2 },
        { key: "quietP99Ms", title: "GetUser p99 ms, no logins", digits: 2 },
        { key: "busyP99Ms", title: "GetUser p99 ms, during logins", digits: 2 },
      ],
      rows: [toRow(subjectName, samples.service), toRow(argon2Name, samples.argon2)],
      skipped: [],
    };
  },
};

function describe({ options }: Context): string {
  const { memoryKib, iterations, parallelism, maxConcurrency } = passwordCost;
  return (
    `${options.loginCallers} callers log in to ${options.accounts.toLocaleString("en")} accounts in turn, with the ` +
    `right password: argon2id with ${memoryKib / 1_024} MiB, ${iterations} iterations and ${parallelism} lane, ` +
    `${maxConcurrency} at once, all of which are defaults. ${argon2Name} is a process that does nothing but compare ` +
    "the same password with the same hash, as many at once: what logins cannot exceed. Then GetUser at " +
    `${options.lightRate}/s, in an open loop, without logins and during them: hashing takes processor time ` +
    "from the rest, but must not hold it up."
  );
}

/** Logins alone, look-ups alone, then both at once. */
async function measureService(context: Context): Promise<Sample> {
  const { options, contenders, databaseUrl, load } = context;
  const server = await findSubject(contenders).start({ databaseUrl, poolSize: options.poolSize });
  try {
    const [logins, lookups] = [loginFlags(context, server), lookupFlags(context, server)];
    const alone = sampleCalls(await load.calls("unary", logins));
    const quiet = await load.calls("unary", lookups);
    const [during, busy] = await Promise.all([load.calls("unary", logins), load.calls("unary", lookups)]);
    return {
      metrics: {
        ...alone.metrics,
        quietP50Ms: quiet.latencyMs.p50,
        busyP50Ms: busy.latencyMs.p50,
        quietP99Ms: quiet.latencyMs.p99,
        busyP99Ms: busy.latencyMs.p99,
      },
      failures: { ...alone.failures, ...quiet.failures, ...during.failures, ...busy.failures },
    };
  } finally {
    await server.stop();
  }
}

function lengthen({ seconds, warmUpSeconds }: Options): { seconds: number; warmUpSeconds: number } {
  return { seconds: Math.max(seconds, leastSeconds), warmUpSeconds };
}

function loginFlags({ options }: Context, server: Server): Flags {
  return {
    ...timing(lengthen(options)),
    address: server.address,
    "server-pid": server.pid,
    body: "login",
    users: options.accounts,
    password: accountPassword,
    c: options.loginCallers,
    m: 1,
  };
}

function lookupFlags({ options }: Context, server: Server): Flags {
  return {
    ...timing(lengthen(options)),
    address: server.address,
    users: options.users,
    c: 1,
    rate: options.lightRate,
  };
}

async function measureArgon2({ options }: Context, passwordHash: string): Promise<Sample> {
  const task = {
    passwordHash,
    password: accountPassword,
    concurrency: passwordCost.maxConcurrency,
    warmUpMs: options.warmUpSeconds * 1_000,
    durationMs: lengthen(options).seconds * 1_000,
  };
  const report = await run(["node", join(bench, "subject/argon2.ts"), JSON.stringify(task)]);
  return { metrics: JSON.parse(report) as Sample["metrics"], failures: {} };
}
