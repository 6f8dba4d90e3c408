import type { RawBuilder } from "kysely";
import type { CallerState } from "../platform/batcher.ts";
import { inOneStatement, inTransaction } from "../platform/transaction.ts";
import type { Database, Transaction } from "../schema.ts";
import type { WriteCaller, WriteRecord } from "../writes/write-record.ts";
import type { Commit } from "./committed-events.ts";
import type { EventDraft } from "./event.ts";
import { appendEvents, changeAndAppend, type DraftedWrite } from "./event-append.repository.ts";

/** What a write did, and the events that it is. */
export interface Written<Result> {
  readonly result: Result;
  /** None where nothing changed. */
  readonly events: readonly EventDraft[];
  /** Of several callers who share the transaction; that of a single one is asked of itself. */
  readonly records?: readonly WriteRecord[];
}

/** Writes that append their events to the log. */
export interface EventWriter {
  /**
   * Runs a write, and keeps its caller's record and appends its events as the last thing of the same transaction:
   * they exist if and only if the change committed. `work` may run more than once and must not keep state between
   * runs; `caller` is as in {@link inTransaction}.
   *
   * @throws what `work` throws, after a rollback
   */
  write<Result>(
    work: (transaction: Transaction) => Promise<Written<Result>>,
    caller?: WriteCaller<Result>,
  ): Promise<Result>;
  /**
   * Makes changes that can be told from their events, and appends the events and keeps the records of those that were
   * made: one statement, which is committed when it is answered. `draft` is called as late as possible, and anew when the database has
   * broken the statement off; `caller` is as in {@link inOneStatement}.
   *
   * @param change SQL that writes what the relation `draft` says, and returns as `user_id` the ids of the users that
   * it has changed. The columns of `draft` are those of the event (`ordinality` from 1, `id`, `type`, `occurred_at`) and
   * of the user as it leaves it (`user_id`, `email`, `username`, `is_active`, `created_at`, which is a text).
   * Users must be distinct.
   * @returns the ids of the users that it has left as they were
   */
  writeDrafted(
    draft: () => readonly DraftedWrite[],
    change: RawBuilder<unknown>,
    caller?: CallerState,
  ): Promise<ReadonlySet<string>>;
}

/**
 * Creates the writer.
 *
 * @param spread told of each commit that appended; left out where a process has no streams to feed. Must not throw.
 */
export function createEventWriter(
  database: Database,
  spread: (commit: Commit) => void = () => {},
): EventWriter {
  return {
    async write(work, caller) {
      const { result, commit } = await inTransaction(
        database,
        async (transaction) => {
          const { result, events, records = [] } = await work(transaction);
          const record = caller?.record?.(result);
          const kept = record === undefined ? records : [...records, record];
          return { result, commit: await appendEvents(transaction, events, kept) };
        },
        caller,
      );
      if (commit !== undefined) spread(commit);
      return result;
    },

    async writeDrafted(draft, change, caller) {
      const { unchanged, commit } = await inOneStatement(
        database,
        (connection) => changeAndAppend(connection, draft(), change),
        caller,
      );
      if (commit !== undefined) spread(commit);
      return unchanged;
    },
  };
}
