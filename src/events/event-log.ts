import { type Abortable, inTransaction } from "../platform/transaction.ts";
import type { Database, Transaction } from "../schema.ts";
import type { Commit } from "./committed-events.ts";
import { appendEvents } from "./event.repository.ts";
import type { EventDraft, LoggedEvent } from "./event.ts";
import { type StreamItem, type StreamRequest, streamEvents } from "./event-stream.ts";
import type { EventTailer } from "./event-tailer.ts";

/** What a write did, and the events that it is. */
export interface Written<Result> {
  readonly result: Result;
  /** None where nothing changed. */
  readonly events: readonly EventDraft[];
}

/** The ordered log behind every stream. */
export interface EventLog {
  /**
   * Runs a write and appends its events as the last thing of the same transaction: the events exist if and
   * only if the change committed. `work` may run more than once and must not keep state between runs; `caller`
   * is as in {@link inTransaction}.
   *
   * @throws what `work` throws, after a rollback
   */
  write<Result>(
    work: (transaction: Transaction) => Promise<Written<Result>>,
    caller?: Abortable,
  ): Promise<Result>;
  /** See {@link streamEvents}. */
  stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<StreamItem, never>;
}

/** The parts that a log is made of. */
export interface EventLogDependencies {
  readonly database: Database;
  readonly tailer: EventTailer;
  /** Called after a commit that appended: other processes may want to look. Must not throw. */
  readonly announce: () => void;
  /** See {@link streamEvents}. */
  readonly streamPageSize?: number;
}

/** Creates the log's service over an open tailer. */
export function createEventLog(dependencies: EventLogDependencies): EventLog {
  const { database, tailer, announce, streamPageSize } = dependencies;
  return {
    async write(work, caller) {
      const { result, commit } = await writeWithEvents(database, work, caller);
      if (commit !== undefined) {
        tailer.offer(commit);
        announce();
      }
      return result;
    },
    stream: (request, signal) => streamEvents(database, tailer, request, signal, streamPageSize),
  };
}

/**
 * The transaction behind {@link EventLog.write}, for a process that has no streams to feed. Gives what it committed,
 * where it appended events.
 */
export function writeWithEvents<Result>(
  database: Database,
  work: (transaction: Transaction) => Promise<Written<Result>>,
  caller?: Abortable,
): Promise<{ readonly result: Result; readonly commit: Commit | undefined }> {
  return inTransaction(
    database,
    async (transaction) => {
      const { result, events } = await work(transaction);
      if (events.length === 0) return { result, commit: undefined };
      const { databaseId, revision } = await appendEvents(transaction, events);
      return { result, commit: { databaseId, events: numberEvents(events, revision) } };
    },
    caller,
  );
}

function numberEvents(drafts: readonly EventDraft[], last: bigint): readonly LoggedEvent[] {
  const before = last - BigInt(drafts.length);
  return drafts.map((draft, index) => ({ ...draft, revision: before + BigInt(index + 1) }));
}
