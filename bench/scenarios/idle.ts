import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { stopwatch } from "../harness/clock.ts";
import type { Context, Scenario } from "../harness/context.ts";
import { withDatabase } from "../harness/database.ts";
import { toRow } from "../harness/rounds.ts";
import { findSubject, subjectName } from "../harness/subject.ts";

/** How long the server may collect garbage before its memory is read. */
const settleMs = { smoke: 500, full: 6_000 };

/** Holds many streams on which nothing happens. */
export const idle: Scenario = {
  name: "idle",
  async run(context: Context) {
    const { options, contenders, databaseUrl, load, say } = context;
    const subject = findSubject(contenders);
    const settle = options.smoke ? settleMs.smoke : settleMs.full;
    const server = await subject.start({ databaseUrl, poolSize: options.poolSize });
    try {
      const open = (streams: number) =>
        load.hold({ address: server.address, streams, "subscriber-connections": Math.ceil(streams / 100) });
      // Code that runs for the first time takes memory too: it belongs to the base.
      await (await open(100)).close();
      await sleep(settle);
      const base = await readResidentBytes(server.pid);
      const streams = await open(options.idleStreams);
      await sleep(settle);
      const resident = await readResidentBytes(server.pid);
      const time = stopwatch();
      const reads = await countHeadReads(databaseUrl);
      await sleep(settle);
      const queriesPerSecond = ((await countHeadReads(databaseUrl)) - reads) / time.seconds();
      await streams.close();
      say(`  ${options.idleStreams} streams: ${base} -> ${resident} bytes`);
      const kibibytesEach = (resident - base) / options.idleStreams / 1_024;
      const metrics = { kibibytesEach, baseMebibytes: base / 1_024 ** 2, queriesPerSecond };
      return {
        name: "idle",
        title: "Idle subscribers",
        method:
          `${options.idleStreams.toLocaleString("en")} event streams, a hundred on each connection, on which nothing ` +
          "happens: resident memory of the process beyond what it was before, and how often all of them together " +
          "have the log's head read (PostgreSQL's own count of scans).",
        metrics: [
          { key: "kibibytesEach", title: "KiB a stream", digits: 2 },
          { key: "baseMebibytes", title: "MiB before", digits: 0 },
          { key: "queriesPerSecond", title: "queries/s", digits: 1 },
        ],
        rows: [toRow(subjectName, [{ metrics, failures: {} }])],
        skipped: [],
      };
    } finally {
      await server.stop();
    }
  },
};

async function readResidentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1_024;
}

/** How often stream_head was read. Backends report within a second, which the settle time covers. */
async function countHeadReads(databaseUrl: string): Promise<number> {
  return withDatabase(databaseUrl, async (client) => {
    const { rows } = await client.query<{ scans: string }>(
      "select seq_scan + coalesce(idx_scan, 0) as scans from pg_stat_user_tables where relname = 'stream_head'",
    );
    return Number(rows[0]?.scans ?? 0);
  });
}
