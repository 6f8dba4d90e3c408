import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** What the server's process had and did at one moment. Undefined: nothing tells. */
export interface Sample {
  /** Since the beginning of the run. */
  readonly seconds: number;
  readonly residentBytes: number | undefined;
  readonly heapBytes: number | undefined;
  readonly externalBytes: number | undefined;
  /** Sockets, pipes and the like; no files, of which the embedded database keeps ever more open, up to a bound. */
  readonly handles: number | undefined;
  /** How late the event loop was in the last while, 99th percentile. */
  readonly loopDelaySeconds: number | undefined;
}

const intervalMs = 1_000;

/** Takes a sample now. The kernel's figures where it has them. */
export async function takeSample(pid: number, internalUrl: string, beganAt: number): Promise<Sample> {
  const metrics = await readMetrics(internalUrl);
  const [residentBytes, handles] = await Promise.all([readResident(pid), countHandles(pid)]);
  return {
    seconds: (performance.now() - beganAt) / 1_000,
    residentBytes: residentBytes ?? metrics.get("process_resident_memory_bytes"),
    heapBytes: metrics.get("nodejs_heap_size_used_bytes"),
    externalBytes: metrics.get("nodejs_external_memory_bytes"),
    handles,
    loopDelaySeconds: metrics.get("nodejs_eventloop_lag_p99_seconds"),
  };
}

/** Takes samples until the signal aborts. */
export async function sampleUntil(
  signal: AbortSignal,
  take: () => Promise<Sample>,
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  while (!signal.aborted) {
    samples.push(await take());
    await delay(intervalMs, undefined, { signal }).catch(() => {});
  }
  return samples;
}

/** The metrics without labels, by their names. */
async function readMetrics(internalUrl: string): Promise<ReadonlyMap<string, number>> {
  try {
    const answer = await fetch(`${internalUrl}/metrics`, { signal: AbortSignal.timeout(5_000) });
    const lines = (await answer.text()).matchAll(/^([a-z_:]\w*) (\S+)$/gim);
    return new Map([...lines].map(([, name = "", value]) => [name, Number(value)]));
  } catch {
    return new Map();
  }
}

async function readResident(pid: number): Promise<number | undefined> {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1_024;
  } catch {
    return undefined;
  }
}

async function countHandles(pid: number): Promise<number | undefined> {
  try {
    const folder = `/proc/${pid}/fd`;
    const links = await Promise.all(
      (await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => "/")),
    );
    return links.filter((target) => !target.startsWith("/")).length;
  } catch {
    return undefined;
  }
}
