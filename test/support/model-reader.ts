import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { decodeCursor } from "../../src/events/cursor.ts";
import type { StreamStart } from "../../src/events/event-stream.ts";
import type { Database } from "../../src/schema.ts";
import { readHead } from "./event-archive.ts";
import { type LogAccess, type ReadItem, Refusal } from "./log-access.ts";
import type { Milestones } from "./milestones.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { findPosition, type StreamHistory } from "./stream-history.ts";

/** What a reader reads, and what it knows of the others. */
export interface ReaderWorld {
  /** Processes of the one database: any of them serves any stream. */
  readonly accesses: readonly [LogAccess, ...LogAccess[]];
  /** For looking at the log's head and floor beside the streams. */
  readonly database: Database;
  readonly knownIds: readonly string[];
  /** Cursors that any reader has been given. */
  readonly cursors: string[];
  /** Passed by the writers; finished when the last write has committed. */
  readonly writes: Milestones;
  /** Whether retention runs, so that a cursor may fall behind. */
  readonly retention: boolean;
  readonly progressMs: readonly [number, ...number[]];
  /** Ends everything when the test fails. */
  readonly signal: AbortSignal;
}

const eventTypes = ["user_registered", "user_activated", "user_deactivated", "user_updated", "user_deleted"];

/** A reader that joins, leaves and resumes at random until the writers are done, and then reads to the end. */
export async function runReader(random: SeededRandom, world: ReaderWorld): Promise<StreamHistory[]> {
  const histories: StreamHistory[] = [];
  let earliest: StreamStart | undefined;
  for (;;) {
    const start = earliest ?? chooseStart(random, world);
    const history = await beginHistory(start, chooseFilter(random, world), world);
    histories.push(history);
    earliest = await readHistory(random, world, start, history);
    if (earliest === undefined && world.writes.isFinished) {
      return histories;
    }
  }
}

async function beginHistory(
  start: StreamStart,
  filter: StreamHistory["filter"],
  world: ReaderWorld,
): Promise<StreamHistory> {
  if (typeof start === "object") {
    const cursor = decodeCursor(start.cursor);
    assert.ok(cursor, "a stream gave a cursor that is none");
    return { filter, startsAtLeast: cursor.revision, startsAtMost: cursor.revision, items: [] };
  }
  const { revision, floor } = await readHead(world.database);
  return { filter, startsAtLeast: start === "now" ? revision : floor, startsAtMost: undefined, items: [] };
}

function chooseStart(random: SeededRandom, world: ReaderWorld): StreamStart {
  const cursor = random.pickAny(world.cursors);
  return random.pick(["now", "earliest", cursor === undefined ? "now" : { cursor }]);
}

function chooseFilter(random: SeededRandom, world: ReaderWorld): StreamHistory["filter"] {
  const types = eventTypes.filter(() => random.oneIn(3));
  const userIds = Array.from({ length: random.integer(1, 8) }, () => random.pickAny(world.knownIds)).filter(
    (id) => id !== undefined,
  );
  return random.pick([
    { types: [], userIds: [] },
    { types: [], userIds: [] },
    { types, userIds: [] },
    { types: [], userIds },
    { types, userIds },
    { types: [], userIds: [randomUUID()] },
  ]);
}

/**
 * Reads one history over several streams, each resumed from the last cursor of the one before.
 *
 * @returns where to begin anew, where retention has overtaken the reader
 */
async function readHistory(
  random: SeededRandom,
  world: ReaderWorld,
  start: StreamStart,
  history: StreamHistory,
): Promise<StreamStart | undefined> {
  for (let streams = random.integer(1, 6); streams > 0 || world.writes.isFinished; streams--) {
    const position = findPosition(history);
    const from = position === undefined ? start : { cursor: position.cursor };
    try {
      if (await readStream(random, world, history, from)) return undefined;
    } catch (error) {
      return restartBehind(error, world, position?.revision ?? history.startsAtLeast, history);
    }
  }
  return undefined;
}

/** @returns whether the writers are done and the stream has come to the log's end */
async function readStream(
  random: SeededRandom,
  world: ReaderWorld,
  history: StreamHistory,
  start: StreamStart,
): Promise<boolean> {
  const { writes } = world;
  const isLast = writes.isFinished;
  const progressIntervalMs = isLast || random.oneIn(2) ? random.pick(world.progressMs) : undefined;
  const leaving = new AbortController();
  const stream = random
    .pick(world.accesses)
    .stream(
      { start, ...history.filter, progressIntervalMs },
      AbortSignal.any([leaving.signal, world.signal]),
    );
  try {
    for (let left = random.integer(1, 80); left > 0; left--) {
      const next = takeNext(stream);
      const item = await (isLast ? undefined : Promise.race([next, writes.finished]));
      if (item === undefined) {
        // The writers are done. Who learns of it while live stays so, if it can tell where the end is.
        const { filter, items } = history;
        const tells = filter.types.length + filter.userIds.length === 0 && items.length > 0;
        return (
          (progressIntervalMs !== undefined || tells) &&
          (await readToEnd(stream, next, start, world, history))
        );
      }
      await keep(item, start, world, history);
      // Falls behind by far: out of the ring, or out of what retention keeps.
      if (random.oneIn(40)) await writes.afterNext(random.integer(1, 60));
    }
    return false;
  } finally {
    // Half of the readers hang up, the others say that they are done.
    if (random.oneIn(2)) leaving.abort();
    void stream.return(undefined).catch(() => {});
    leaving.abort();
  }
}

async function readToEnd(
  stream: AsyncGenerator<ReadItem>,
  first: Promise<ReadItem>,
  start: StreamStart,
  world: ReaderWorld,
  history: StreamHistory,
): Promise<boolean> {
  const { revision: end } = await readHead(world.database);
  for (let next = first; (findPosition(history)?.revision ?? -1n) < end; next = takeNext(stream)) {
    await keep(await next, start, world, history);
  }
  return true;
}

function takeNext(stream: AsyncGenerator<ReadItem>): Promise<ReadItem> {
  const next = stream.next().then((result) => {
    assert.ok(result.done !== true, "a stream ended by itself");
    return result.value;
  });
  // Whoever leaves does not wait for it any more, and its failure is nobody's.
  next.catch(() => {});
  return next;
}

async function keep(
  item: ReadItem,
  start: StreamStart,
  world: ReaderWorld,
  history: StreamHistory,
): Promise<void> {
  if (start === "earliest" && history.items.length === 0) {
    // It began with the oldest event retained, and the floor only rises.
    history.startsAtMost = (await readHead(world.database)).floor;
  }
  history.items.push(item);
  world.cursors.push(item.cursor);
}

/** Only what retention has really overtaken may be refused, and the cursor given must be one to begin behind. */
async function restartBehind(
  error: unknown,
  world: ReaderWorld,
  startsAtLeast: bigint,
  history: StreamHistory,
): Promise<StreamStart> {
  if (!(world.retention && error instanceof Refusal && error.reason === "CURSOR_COMPACTED")) {
    throw error;
  }
  const cursor = error.earliestCursor ?? "";
  const earliest = decodeCursor(cursor)?.revision;
  assert.ok(earliest, "the refusal names no cursor to begin behind");
  const position = findPosition(history)?.revision ?? startsAtLeast;
  assert.ok(position < earliest, `${position} was refused, with everything behind ${earliest} retained`);
  const { floor } = await readHead(world.database);
  assert.ok(earliest <= floor, `the earliest cursor ${earliest} is beyond the floor ${floor}`);
  return { cursor };
}
