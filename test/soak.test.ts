import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { judgeGrowth } from "../bench/soak/growth.ts";
import type { SoakReport } from "../bench/soak/report.ts";
import type { Sample } from "../bench/soak/samples.ts";
import { cleanUpAfter } from "./support/clean-up.ts";

const program = join(import.meta.dirname, "../bench/soak/run.ts");
const mib = 1_024 ** 2;

test("a short soak of the real process is sound, and its report says what happened", async (t) => {
  const { exitCode, report, markdown } = await soak(t, "--seconds", "10");
  assert.deepEqual(report.faults, []);
  assert.equal(exitCode, 0);
  assert.match(markdown, /^## Soak: sound/);
  assert.deepEqual(report.writes.missing, []);
  assert.deepEqual(report.streams.broken, []);
  assert.ok(report.writes.acknowledged > 0 && report.streams.events > 0);
  assert.deepEqual(
    ["Internal", "Unknown"].filter((code) => code in report.codes),
    [],
  );
  for (const protocol of ["gRPC", "gRPC-Web", "Connect"]) {
    const { calls, p50Ms, p99Ms, p999Ms } = methodOf(report, `GetUser ${protocol}`);
    assert.ok(calls > 0 && p50Ms > 0 && p50Ms <= p99Ms && p99Ms <= p999Ms, protocol);
  }
  const resident = report.memory.find(({ what }) => what === "resident");
  assert.ok(resident !== undefined && resident.peakBytes >= resident.startBytes && resident.startBytes > 0);
  assert.equal(resident.bytesPerMinute, undefined, "so short a run tells nothing of growth");
  assert.ok(report.handles.peak > report.handles.start && report.handles.start > 0);
});

for (const [plant, fault] of [
  ["lost-event", /^a stream is not whole: gRPC, 0: not the log's events/],
  ["lost-write", /^what was written is not what was told: the events of lost are not its writes/],
] as const) {
  test(`a soak with a ${plant} fails and says so`, async (t) => {
    const { exitCode, report, markdown } = await soak(t, "--seconds", "4", "--plant", plant);
    assert.equal(exitCode, 1);
    assert.match(report.faults.join("\n"), fault);
    assert.match(markdown, /^## Soak: FAILED/);
  });
}

test("memory that grows without an end is a leak, and a heap that is cleared now and then is none", () => {
  const judge = (bytesAt: (seconds: number) => number, seconds = 120) =>
    judgeGrowth("heap", samplesOf(bytesAt, seconds), ({ heapBytes }) => heapBytes, 16 * mib);
  const saw = (seconds: number) => ((seconds * 7) % 40) * mib;
  assert.equal(judge((seconds) => 50 * mib + saw(seconds))?.isLeak, false);
  assert.equal(judge((seconds) => 50 * mib + saw(seconds) + seconds * 0.4 * mib)?.isLeak, true);
  // Caches fill in the beginning, and a little more for ever after.
  assert.equal(judge((seconds) => Math.min(seconds, 30) * 4 * mib + seconds * 0.02 * mib)?.isLeak, false);
  assert.equal(judge((seconds) => seconds * mib, 30)?.bytesPerMinute, undefined);
});

function samplesOf(bytesAt: (seconds: number) => number, count: number): Sample[] {
  return Array.from({ length: count }, (_, seconds) => ({
    seconds,
    heapBytes: bytesAt(seconds),
    residentBytes: undefined,
    externalBytes: undefined,
    handles: undefined,
    loopDelaySeconds: undefined,
  }));
}

function methodOf(report: SoakReport, name: string): SoakReport["methods"][number] {
  return report.methods.find((method) => method.name === name) ?? assert.fail(`${name} was not called`);
}

/** Runs it on the embedded database. */
async function soak(t: TestContext, ...args: readonly string[]) {
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-soak-test-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true }));
  const out = join(folder, "report.json");
  const child = spawn(process.execPath, [program, "--embedded", "--rate", "60", "--out", out, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanUpAfter(t, () => child.kill());
  let markdown = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    markdown += text;
  });
  const [exitCode] = (await once(child, "close")) as [number | null];
  const report = JSON.parse(await readFile(out, "utf8")) as SoakReport;
  t.diagnostic(`seed ${report.seed}, ${report.calls} calls`);
  return { exitCode, report, markdown };
}
