import assert from "node:assert/strict";
import type { WholeLog } from "./event-archive.ts";
import type { PlainEvent, ReadItem, ReadRequest } from "./log-access.ts";

/** What one reader has seen behind one starting point, over however many streams it resumed. */
export interface StreamHistory {
  /** The filter. It stays the same for the whole history. */
  readonly filter: Pick<ReadRequest, "types" | "userIds">;
  /** The history begins behind a revision within these two. */
  readonly startsAtLeast: bigint;
  /** Undefined where nothing limits it. */
  startsAtMost: bigint | undefined;
  readonly items: ReadItem[];
}

/** The place behind the last message, which is where a reader resumes; undefined where nothing came yet. */
export function findPosition(history: StreamHistory): ReadItem | undefined {
  return history.items.at(-1);
}

/**
 * Checks a history against the whole log: in order, each event once, no matching event left out between its
 * beginning and its last message, nothing that the filter rejects, and every event as it was written.
 */
export function checkHistory(history: StreamHistory, log: WholeLog): void {
  const { items, startsAtLeast, startsAtMost, filter } = history;
  const first = items[0];
  const last = items.at(-1);
  if (first === undefined || last === undefined) {
    return;
  }
  checkOrder(items, startsAtLeast);
  if (first.event === undefined && startsAtMost !== undefined) {
    assert.ok(first.revision <= startsAtMost, `began at ${first.revision}, behind ${startsAtMost}`);
  }
  // A first progress message tells where the stream began; else nothing may be missing since the latest place.
  const begin = first.event === undefined ? first.revision : minimum(startsAtMost, first.revision - 1n);
  const expected = eventsBetween(log, begin, last.revision).filter(({ event }) => passes(filter, event));
  const seen = items.flatMap(({ revision, event }) => (event === undefined ? [] : [{ revision, event }]));
  const where = `behind ${begin} with ${JSON.stringify(filter)}`;
  assert.deepEqual(
    seen.map((item) => item.revision),
    expected.map((item) => item.revision),
    `not the log's events ${where}`,
  );
  assert.deepEqual(seen, expected, `not what was written, ${where}`);
}

/** Every event moves on; a progress message may stay, but never goes back behind what was delivered. */
function checkOrder(items: readonly ReadItem[], startsAtLeast: bigint): void {
  let previous = startsAtLeast;
  for (const { revision, event } of items) {
    const inOrder = event === undefined ? revision >= previous : revision > previous;
    assert.ok(inOrder, `${event?.type ?? "progress"} at ${revision} came after ${previous}`);
    previous = revision;
  }
}

function eventsBetween(log: WholeLog, after: bigint, upTo: bigint) {
  return log
    .slice(Number(after), Number(upTo))
    .map((event, index) => ({ revision: after + BigInt(index) + 1n, event }));
}

function passes({ types, userIds }: StreamHistory["filter"], event: PlainEvent): boolean {
  return (
    (types.length === 0 || types.includes(event.type)) &&
    (userIds.length === 0 || userIds.includes(event.user.id))
  );
}

function minimum(one: bigint | undefined, other: bigint): bigint {
  return one === undefined || other < one ? other : one;
}
