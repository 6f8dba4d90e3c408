/**
 * Compares a password with its hash, again and again: what the hash alone allows on this machine. The task is the
 * only argument, as JSON; the metrics are the only output, as JSON, too.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { verify } from "@node-rs/argon2";

interface Task {
  readonly passwordHash: string;
  readonly password: string;
  /** Comparisons at once. */
  readonly concurrency: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

const task = JSON.parse(process.argv[2] ?? "") as Task;
const from = performance.now() + task.warmUpMs;
const to = from + task.durationMs;
const latencies: number[] = [];

async function compareInTurn(): Promise<void> {
  for (let begin = performance.now(); begin < to; begin = performance.now()) {
    if (!(await verify(task.passwordHash, task.password))) {
      throw new Error("the password does not match its hash");
    }
    const end = performance.now();
    if (end >= from && end < to) latencies.push(end - begin);
  }
}

async function measureCpu(): Promise<number> {
  await sleep(task.warmUpMs);
  const before = process.cpuUsage();
  await sleep(task.durationMs);
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

const [cpuUs] = await Promise.all([
  measureCpu(),
  ...Array.from({ length: task.concurrency }, () => compareInTurn()),
]);
latencies.sort((a, b) => a - b);
const quantile = (share: number): number | undefined => latencies[Math.floor(share * latencies.length)];
process.stdout.write(
  JSON.stringify({
    callsPerSecond: (latencies.length * 1_000) / task.durationMs,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    serverCpuUs: cpuUs / latencies.length,
  }),
);
