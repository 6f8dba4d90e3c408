import { withDatabase } from "../harness/database.ts";
import type { Arrivals } from "../harness/load.ts";

/** Quantiles of the time from an event's commit until it arrived, over all events and all streams, in milliseconds. */
export interface CommitDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/**
 * Joins arrivals with what PostgreSQL knows of the commits, whose clock is the same machine's. Every delivery counts
 * whose commit was in the window. PostgreSQL takes the time of a commit before it flushes it to disk, so that the
 * flush is part of the delay. Undefined where there is no event in the window.
 */
export async function measureCommitDelay(
  databaseUrl: string,
  arrivals: Arrivals,
): Promise<CommitDelay | undefined> {
  const commits = await readCommitTimes(databaseUrl, arrivals.firstRevision);
  const delays = Float64Array.from(findDelays(arrivals, commits)).sort();
  if (delays.length === 0) return undefined;
  const at = (share: number): number => (delays[Math.floor(share * delays.length)] ?? Number.NaN) / 1_000;
  return { p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999) };
}

/** Of the events from a revision on, which have no holes, in microseconds since 1970. */
async function readCommitTimes(databaseUrl: string, firstRevision: number): Promise<readonly number[]> {
  const { rows } = await withDatabase(databaseUrl, (client) =>
    client.query<{ at: number }>(
      `select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e6)::float8 as at
      from user_events where revision >= $1 order by revision`,
      [firstRevision],
    ),
  );
  return rows.map(({ at }) => at);
}

function* findDelays({ streams, from, to }: Arrivals, commits: readonly number[]): Generator<number> {
  for (const stream of streams) {
    let arrived = 0;
    for (const [events, at] of stream) {
      for (; arrived < events; arrived += 1) {
        const committed = commits[arrived];
        if (committed !== undefined && committed >= from && committed < to) yield at - committed;
      }
    }
  }
}
