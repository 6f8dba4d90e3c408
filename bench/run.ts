/** `npm run bench`: measures the service and its peers, and writes docs/benchmarks.md. See bench/README.md. */
import { cleanUp, endingSignal } from "./harness/clean-up.ts";
import type { Context } from "./harness/context.ts";
import { createDatabase } from "./harness/database.ts";
import { findFaults } from "./harness/faults.ts";
import { buildLoad } from "./harness/load.ts";
import { describeMachine } from "./harness/machine.ts";
import { type Options, readOptions, usage } from "./harness/options.ts";
import { preparePeers } from "./harness/peers.ts";
import { startPostgres } from "./harness/postgres.ts";
import type { KeptResult, ScenarioResult } from "./harness/results.ts";
import { createSubjects } from "./harness/subject.ts";
import { judge } from "./report/bars.ts";
import { formatBars, formatScenario } from "./report/markdown.ts";
import { stamp, writeResults } from "./report/write.ts";
import { scenarios } from "./scenarios/all.ts";

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

interface Measured {
  readonly machine: Readonly<Record<string, string>>;
  readonly results: readonly KeptResult[];
  /** Names of the peers. */
  readonly peers: readonly string[];
}

/** Runs the scenarios that the options name. */
async function measure(options: Options): Promise<Measured> {
  const wanted = scenarios.filter(({ name, large }) =>
    options.only === undefined ? !large || options.growth : options.only.includes(name),
  );
  const unknown = options.only?.filter((name) => !scenarios.some((scenario) => scenario.name === name)) ?? [];
  if (unknown.length > 0) {
    throw new TypeError(
      `no such scenario: ${unknown.join(", ")}; there are ${scenarios.map(({ name }) => name).join(", ")}`,
    );
  }
  const load = await buildLoad();
  const peers = await preparePeers(options);
  for (const { name, unavailable } of peers) {
    if (unavailable !== undefined) say(`skipping ${name}: ${unavailable}`);
  }
  const postgres = await startPostgres();
  let runs = 0;
  const context: Context = {
    options,
    postgres,
    databaseUrl: await createDatabase(postgres, "bench", { users: options.users }),
    load,
    contenders: [...createSubjects(), ...peers],
    say,
    nextPrefix: () => {
      runs += 1;
      return `r${runs}`;
    },
  };
  const results: ScenarioResult[] = [];
  for (const scenario of wanted) {
    say(`${scenario.name}:`);
    results.push(await scenario.run(context));
  }
  const command = ["npm run bench --", ...process.argv.slice(2)].join(" ").replace(/ --$/, "");
  return {
    machine: await describeMachine(postgres, context.contenders),
    results: stamp(results, command),
    peers: peers.map(({ name }) => name),
  };
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") {
    say(usage);
    return;
  }
  const { machine, results, peers } = await measure(options);
  for (const result of results) say(`\n## ${result.title}\n\n${formatScenario(result)}`);
  // A peer that breaks under a load is a result; in a smoke run there is no load to break under.
  const faults = findFaults(results, options.smoke ? [] : peers);
  if (!options.smoke) {
    const bars = judge({ machine: {}, scenarios: results }).filter(({ measured }) => measured !== undefined);
    if (bars.length > 0) say(`\n${formatBars(bars)}`);
    if (options.peers === undefined) {
      await writeResults(machine, results);
    }
  }
  for (const fault of faults) process.stderr.write(`FAULT ${fault}\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => void cleanUp().finally(() => process.exit(status)));
}
try {
  await main();
} catch (error) {
  // What Ctrl-C cut off has failed, but that is no news.
  if (!endingSignal.aborted) {
    const text = error instanceof TypeError ? error.message : String((error as Error).stack ?? error);
    process.stderr.write(`${text}\n`);
    process.exitCode = 1;
  }
} finally {
  await cleanUp();
}
