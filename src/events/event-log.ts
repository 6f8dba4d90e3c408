import type { RawBuilder } from "kysely";
import { type Abortable, inOneStatement, inTransaction } from "../platform/transaction.ts";
import type { Database, Transaction } from "../schema.ts";
import type { Commit } from "./committed-events.ts";
import type { EventDraft } from "./event.ts";
import { appendEvents, changeAndAppend } from "./event-append.repository.ts";
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
  /**
   * Makes changes that can be told from their events, and appends the events of those that were made: one statement,
   * which is committed when it is answered. `draft` is called as late as possible, and anew when the database has
   * broken the statement off; `caller` is as in {@link inOneStatement}.
   *
   * @param change SQL that writes what the relation `draft` says, and returns as `user_id` the ids of the users that
   * it has changed. The columns of `draft` are those of the event (`ordinal` from 1, `id`, `type`, `occurred_at`) and
   * of the user as it leaves it (`user_id`, `email`, `username`, `is_active`, `created_at`, which is a text).
   * Users must be distinct.
   * @returns the ids of the users that it has left as they were
   */
  writeDrafted(
    draft: () => readonly EventDraft[],
    change: RawBuilder<unknown>,
    caller?: Abortable,
  ): Promise<ReadonlySet<string>>;
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

  function spread(commit: Commit | undefined): void {
    if (commit !== undefined) {
      tailer.offer(commit);
      announce();
    }
  }

  return {
    async write(work, caller) {
      const { result, commit } = await writeWithEvents(database, work, caller);
      spread(commit);
      return result;
    },
    async writeDrafted(draft, change, caller) {
      const { unchanged, commit } = await inOneStatement(
        database,
        (connection) => changeAndAppend(connection, draft(), change),
        caller,
      );
      spread(commit);
      return unchanged;
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
      return { result, commit: events.length === 0 ? undefined : await appendEvents(transaction, events) };
    },
    caller,
  );
}
