import { setTimeout as delay } from "node:timers/promises";
import type { Transport } from "@connectrpc/connect";
import type { WholeLog } from "../../test/support/event-archive.ts";
import { accessByClient, Refusal } from "../../test/support/log-access.ts";
import type { SeededRandom } from "../../test/support/seeded-random.ts";
import { checkHistory, findPosition, type StreamHistory } from "../../test/support/stream-history.ts";
import { codeOf, type Tally } from "./tally.ts";

/** Somebody who reads the whole log, over however many streams. */
export interface SoakReader {
  readonly name: string;
  readonly history: StreamHistory;
  readonly done: Promise<void>;
}

/** How somebody reads. */
export interface ReaderOptions {
  readonly name: string;
  readonly transport: Transport;
  readonly random: SeededRandom;
  readonly tally: Tally;
  readonly signal: AbortSignal;
  /** Leaves after about so many messages and resumes; undefined: stays. */
  readonly leavesAfter?: number;
  /** Takes its time over each message. */
  readonly pauseMs?: number;
  /** Loses the message that comes after so many, to see that it is missed. */
  readonly losesAfter?: number;
}

/** Between two streams. */
const resumePauseMs = 50;

/** Starts one at the log's beginning. */
export function startReader(options: ReaderOptions): SoakReader {
  const { name, transport, random, tally, signal, leavesAfter, pauseMs = 0, losesAfter } = options;
  const access = accessByClient(transport);
  const filter = { types: [], userIds: [] };
  const history: StreamHistory = { filter, startsAtLeast: 0n, startsAtMost: 0n, items: [] };
  let events = 0;

  /** @returns the status that the stream ended with */
  async function readOnce(): Promise<string> {
    const leaving = new AbortController();
    const ended = AbortSignal.any([signal, leaving.signal]);
    const position = findPosition(history);
    const start = position === undefined ? "earliest" : { cursor: position.cursor };
    let left = leavesAfter === undefined ? Number.POSITIVE_INFINITY : random.integer(1, 2 * leavesAfter);
    try {
      for await (const item of access.stream({ start, ...filter, progressIntervalMs: 1_000 }, ended)) {
        if (item.event !== undefined) events += 1;
        if (item.event === undefined || events - 1 !== losesAfter) history.items.push(item);
        left -= 1;
        if (left === 0) leaving.abort();
        if (pauseMs > 0) await delay(pauseMs);
      }
      return "OK";
    } catch (error) {
      return ended.aborted ? "Canceled" : codeOf(error instanceof Refusal ? error.cause : error);
    }
  }

  async function read(): Promise<void> {
    while (!signal.aborted) {
      const begin = performance.now();
      const code = await readOnce();
      tally.note(`StreamUserEvents ${name}`, code, performance.now() - begin, ["Canceled"]);
      await delay(resumePauseMs);
    }
  }
  return { name, history, done: read() };
}

/** Why what a reader has read is not the log as it is; undefined where it is. */
export function findBreak({ name, history }: SoakReader, log: WholeLog): string | undefined {
  try {
    checkHistory(history, log);
    return undefined;
  } catch (error) {
    return `${name}: ${(error as Error).message.slice(0, 500)}`;
  }
}
