import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endingSignal, undoAtEnd } from "../harness/clean-up.ts";
import { stopwatch } from "../harness/clock.ts";
import type { Context, Scenario } from "../harness/context.ts";
import { repository } from "../harness/places.ts";
import { environment, findFreePort } from "../harness/process.ts";
import { type Sample, toRow } from "../harness/rounds.ts";

const startTimeoutMs = 60_000;
const user = { email: "ada@example.com", username: "ada" };

/** Starts the service as a newcomer does, with the embedded database that an earlier start has made. */
export const start: Scenario = {
  name: "start",
  async run({ options, say }: Context) {
    const dataDir = await mkdtemp(join(tmpdir(), "user-bridge-bench-start-"));
    const remove = undoAtEnd(() => rm(dataDir, { recursive: true, force: true }));
    try {
      // Makes the database, and the user whom the measured starts look up.
      await startAndCall(dataDir, "RegisterUser", user);
      const samples: Sample[] = [];
      for (let round = 1; round <= options.starts; round += 1) {
        const seconds = await startAndCall(dataDir, "GetUser", { email: user.email });
        say(`  start ${round}: ${seconds.toFixed(2)} s`);
        samples.push({ metrics: { seconds }, failures: {} });
      }
      return {
        name: "start",
        title: "Start",
        method: "From `npm start`, with an embedded database that exists, to the first successful call.",
        metrics: [{ key: "seconds", title: "seconds", digits: 2 }],
        rows: [toRow("npm start", samples)],
        skipped: [],
      };
    } finally {
      await remove();
    }
  },
};

/** Returns how many seconds it took until a call succeeded. */
async function startAndCall(dataDir: string, method: string, body: object): Promise<number> {
  const address = `127.0.0.1:${await findFreePort()}`;
  const listen = { LISTEN: address, INTERNAL_LISTEN: "127.0.0.1:0" };
  const variables = { DATA_DIR: dataDir, DATABASE_URL: "", ...listen, LOG_LEVEL: "warn" };
  endingSignal.throwIfAborted();
  const time = stopwatch();
  // A group of its own, so that npm's child ends with npm whatever npm does.
  const npm = spawn("npm", ["start"], {
    cwd: repository,
    env: environment(variables),
    stdio: "ignore",
    detached: true,
  });
  const stop = undoAtEnd(async () => {
    terminate(npm);
    if (npm.exitCode === null && npm.signalCode === null) await once(npm, "close");
  });
  try {
    const url = `http://${address}/users.v1.UserService/${method}`;
    const request = { method: "POST", headers: { "content-type": "application/json" } };
    while (time.milliseconds() < startTimeoutMs && npm.exitCode === null) {
      const response = await fetch(url, { ...request, body: JSON.stringify(body) }).catch(() => undefined);
      if (response?.ok) return time.seconds();
      await sleep(5);
    }
    throw new Error("npm start did not come to answer a call");
  } finally {
    await stop();
  }
}

function terminate(npm: ChildProcess): void {
  try {
    if (npm.pid !== undefined) process.kill(-npm.pid, "SIGTERM");
  } catch {
    // It has ended by itself.
  }
}
