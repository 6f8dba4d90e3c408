import { setTimeout as delay } from "node:timers/promises";
import { bearer, withFields } from "../../test/support/callers.ts";
import { logIn } from "../../test/support/credentials.ts";
import { createFaultRecord } from "../../test/support/fault-record.ts";
import { createSeededRandom, type SeededRandom } from "../../test/support/seeded-random.ts";
import { checkOutcome } from "./check.ts";
import { openClients, openGrpcClient } from "./clients.ts";
import { type Growth, judgeGrowth } from "./growth.ts";
import { createMix, type Mix } from "./mix.ts";
import type { SoakOptions } from "./options.ts";
import { whileBusy } from "./patience.ts";
import { type ReaderOptions, type SoakReader, startReader } from "./readers.ts";
import { createReport, type SoakReport } from "./report.ts";
import { type Sample, sampleUntil, takeSample } from "./samples.ts";
import { type SoakSubject, startSubject } from "./subject.ts";
import { Tally } from "./tally.ts";

/** More calls at once are not begun: what comes too late is not made up for. */
const maxInFlight = 200;

/** How long the server may take to notice that everybody has gone. */
const settleMs = 10_000;

/** What of its memory may grow behind the warm-up: what caches and the log's ring hold, which have bounds. */
const allowedBytes = { heap: 16 * 1_024 ** 2, external: 16 * 1_024 ** 2, resident: 48 * 1_024 ** 2 };

/** Runs it. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const random = createSeededRandom(options.seed);
  const subject = await startSubject(options);
  const { url, internalUrl, server, superuser, reader } = subject;
  const tokens = {
    superuser: await whileBusy(() => logIn(url, superuser)),
    reader: await whileBusy(() => logIn(url, reader)),
  };
  const beganAt = performance.now();
  const take = () => takeSample(server.pid, internalUrl, beganAt);
  await delay(1_000);
  const before = await take();

  const [sampling, leaving] = [new AbortController(), new AbortController()];
  const [tally, record] = [new Tally(), createFaultRecord()];
  const clients = openClients(url);
  const samples = sampleUntil(sampling.signal, take);
  const readers = startReaders(random.fork(), subject, tally, leaving.signal, options.plant === "lost-event");
  const mix = createMix({ random: random.fork(), subject, clients, tokens, tally, record });
  await callFor(options, mix, tally);
  const elapsedSeconds = (performance.now() - beganAt) / 1_000;
  sampling.abort();

  if (options.plant === "lost-write") {
    const step = { username: "lost", type: "user_registered", email: "lost@example.com", isActive: true };
    record.ledgers.push({ username: "lost", id: "lost", steps: [step], unknown: undefined });
  }
  const checker = openGrpcClient(url);
  const strangers = new Set([superuser.email, reader.email]);
  const transport = withFields(checker.transport, bearer(subject.apiKey.secret));
  const outcome = await checkOutcome(transport, record, strangers, readers);
  leaving.abort();
  await Promise.all([...readers.prompt, ...readers.slow].map(({ done }) => done));
  for (const client of [...clients, ...readers.clients, checker]) client.close();
  const after = await untilSettled(take, before.handles ?? 0);
  const taken = [before, ...(await samples)];
  const report = createReport(options, {
    ...outcome,
    database: subject.database,
    tally,
    elapsedSeconds,
    samples: taken,
    memory: judgeMemory(options.plant === "leak" ? taken.map(withLeak) : taken),
    handles: {
      start: before.handles ?? 0,
      peak: Math.max(...taken.map(({ handles }) => handles ?? 0)),
      end: after.handles ?? 0,
    },
  });
  await server.stop();
  return report;
}

/** Begins calls at the rate that is asked for, and waits for the last. */
async function callFor({ seconds, rate }: SoakOptions, mix: Mix, tally: Tally): Promise<void> {
  const beganAt = performance.now();
  const underWay = new Set<Promise<void>>();
  for (let begun = 0; ; ) {
    const elapsed = (performance.now() - beganAt) / 1_000;
    if (elapsed >= seconds) break;
    for (const due = elapsed * rate; begun < due; begun++) {
      if (underWay.size >= maxInFlight) {
        tally.skipped += 1;
        continue;
      }
      const call = mix.callOnce().finally(() => underWay.delete(call));
      underWay.add(call);
    }
    await delay(5);
  }
  await Promise.all(underWay);
}

/** Those who stay, those who come and go, and those who are slow. */
function startReaders(
  random: SeededRandom,
  { url, apiKey }: SoakSubject,
  tally: Tally,
  signal: AbortSignal,
  losesOne: boolean,
) {
  const ways = [openClients(url), openClients(url)].flat();
  const start = (options: Pick<ReaderOptions, "leavesAfter" | "pauseMs">, index: number): SoakReader => {
    const client = ways[index] ?? ways[0];
    if (client === undefined) throw new Error("there is no way to read");
    const transport = withFields(client.transport, bearer(apiKey.secret));
    const name = `${client.protocol}, ${index}`;
    const losesAfter = losesOne && index === 0 ? { losesAfter: 5 } : {};
    return startReader({ ...options, ...losesAfter, name, transport, random: random.fork(), tally, signal });
  };
  return {
    prompt: [start({}, 0), start({}, 1), start({ leavesAfter: 40 }, 2), start({ leavesAfter: 10 }, 3)],
    slow: [start({ pauseMs: 200 }, 4), start({ pauseMs: 500 }, 5)],
    clients: ways,
  };
}

function judgeMemory(samples: readonly Sample[]): Growth[] {
  return [
    judgeGrowth("heap", samples, ({ heapBytes }) => heapBytes, allowedBytes.heap),
    judgeGrowth("external", samples, ({ externalBytes }) => externalBytes, allowedBytes.external),
    judgeGrowth("resident", samples, ({ residentBytes }) => residentBytes, allowedBytes.resident),
  ].flatMap((growth) => growth ?? []);
}

/** As if the process had lost a mebibyte a second. */
function withLeak(sample: Sample): Sample {
  return { ...sample, residentBytes: (sample.residentBytes ?? 0) + sample.seconds * 1_024 ** 2 };
}

/** Waits until the sockets of those who have gone are gone, though not for ever. */
async function untilSettled(take: () => Promise<Sample>, handles: number): Promise<Sample> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const sample = await take();
    if ((sample.handles ?? 0) <= handles || performance.now() > deadline) return sample;
    await delay(100);
  }
}
