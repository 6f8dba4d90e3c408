import { setTimeout as delay } from "node:timers/promises";
import type { FaultRecord } from "./fault-record.ts";
import { type LogAccess, Refusal } from "./log-access.ts";
import type { Milestones } from "./milestones.ts";
import { findPosition, type StreamHistory } from "./stream-history.ts";
import { withDeadline } from "./with-deadline.ts";

/** A reader of the whole log who resumes with its cursor whenever its stream breaks. */
export interface FaultReader {
  readonly history: StreamHistory;
  /** Passed by each message. */
  readonly received: Milestones;
  /** Ends when the signal aborts. */
  readonly done: Promise<void>;
}

/** Between two streams, as in the writers. */
const resumePauseMs = 25;

/** Starts one at the log's beginning. */
export function startFaultReader(
  access: LogAccess,
  history: StreamHistory,
  received: Milestones,
  record: FaultRecord,
  signal: AbortSignal,
): FaultReader {
  async function readOnce(): Promise<void> {
    const position = findPosition(history);
    const start = position === undefined ? "earliest" : { cursor: position.cursor };
    try {
      for await (const item of access.stream({ start, ...history.filter, progressIntervalMs: 100 }, signal)) {
        history.items.push(item);
        received.pass();
      }
    } catch (error) {
      // A refusal is how the helper shows any status but UNAVAILABLE; its cause is what came.
      if (!signal.aborted) record.noteFailure(error instanceof Refusal ? error.cause : error, "stream");
    }
  }
  async function read(): Promise<void> {
    while (!signal.aborted) {
      await readOnce();
      await delay(resumePauseMs);
    }
  }
  return { history, received, done: read() };
}

/** Waits until a reader knows of everything up to a revision. */
export async function untilRead({ history, received }: FaultReader, revision: bigint): Promise<void> {
  const reached = async () => {
    while ((findPosition(history)?.revision ?? -1n) < revision) await received.afterNext(1);
  };
  await withDeadline(`revision ${revision} on a stream`, reached());
}
