import assert from "node:assert/strict";
import { after, before } from "node:test";
import { Worker } from "node:worker_threads";
import type { ConnectionOutcome } from "./attack-connection.ts";
import { backends } from "./databases.ts";
import { startNeighbour } from "./healthy-neighbour.ts";
import { forgetPeak, readMemory } from "./process-memory.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";

/** What an attack may cost in memory, in megabytes, garbage that has not been collected included. */
const maxGrowth = 150;

/** Calls that the neighbour makes before and after. */
const neighbourCalls = 10;

/** A server of its own to be attacked. */
export interface AttackTarget {
  readonly url: string;
  /**
   * Attacks, while a neighbour calls.
   *
   * @throws AssertionError where one of its calls fails, the server grows beyond a bound, or ends
   */
  survives<T>(attack: (url: string) => Promise<T>): Promise<T>;
}

/** Starts the server for all tests of the suite in whose body it is called. */
export function useAttackTarget(variables: Readonly<Record<string, string>> = {}): AttackTarget {
  let server: ServerProcess | undefined;
  const cleanUps: (() => Promise<unknown>)[] = [];
  before(async () => {
    const [embedded] = backends;
    const database = await embedded?.create();
    assert.ok(database);
    cleanUps.push(database.drop);
    // A machine that runs other tests is busy without any attack.
    const patience = { MAX_EVENT_LOOP_DELAY: "4s" };
    server = await startServerProcess({ ...patience, ...database.variables, AUTH: "off", ...variables });
    const started = server;
    cleanUps.push(() => started.stop("SIGKILL"));
  });
  after(async () => {
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
  });
  return {
    get url() {
      assert.ok(server, "the suite's server has not started");
      return server.url;
    },
    async survives(attack) {
      assert.ok(server?.child.pid);
      const { pid } = server.child;
      const neighbour = startNeighbour(server.url);
      await neighbour.calls(neighbourCalls);
      await forgetPeak(pid);
      const { resident: baseline } = await readMemory(pid);
      const outcome = await attack(server.url);
      await neighbour.calls(neighbourCalls);
      const report = await neighbour.stop();
      assert.equal(server.child.exitCode, null, server.output());
      assert.deepEqual(
        report.failures,
        [],
        `of ${report.succeeded}; the slowest took ${report.slowestMs} ms`,
      );
      const { peak } = await readMemory(pid);
      assert.ok(peak < baseline + maxGrowth, `${peak} MB after ${baseline} MB`);
      return outcome;
    },
  };
}

/** Runs an attack of a module beside this one in a thread of its own, over several connections at once. */
export function inThread<T = ConnectionOutcome>(
  module: string,
  group: string,
  name: string,
  connections = 4,
) {
  return (url: string): Promise<readonly T[]> =>
    new Promise((resolve, reject) => {
      const workerData = { module, group, name, url, connections };
      const worker = new Worker(new URL("attack-worker.ts", import.meta.url), { workerData });
      worker.on("error", reject);
      worker.on("message", (outcomes: readonly T[]) => {
        void worker.terminate();
        resolve(outcomes);
      });
    });
}
