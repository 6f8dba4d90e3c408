import type { EventWriter } from "../events/event-writer.ts";
import type { OnBatch } from "../platform/batcher.ts";
import { createGroupCommit } from "../platform/group-commit.ts";
import type { Database } from "../schema.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import type { Account } from "./account.ts";
import { type Change, changeUsers } from "./change-users.ts";
import { type Registration, registerUsers } from "./register-users.ts";
import { translateUniqueViolation } from "./user.repository.ts";
import type { User } from "./user.ts";
import type { ChangeCommand } from "./user-change.ts";

/** docs/decisions/0006-coalescing.md has the measurements. */
const registrationBounds = { maxBatchSize: 500, maxInFlight: 2 };
/** One at a time: two would find each other's users locked and put them off, one transaction each. */
const changeBounds = { maxBatchSize: 500, maxInFlight: 1 };

/** Carries commands out and gives the users as they left them. A caller who leaves is as in {@link createGroupCommit}. */
export interface UserWriter {
  register(user: User, caller?: WriteCaller<User>): Promise<User>;
  change(command: ChangeCommand, caller?: WriteCaller<Account>): Promise<Account>;
}

/** Who is told of the sizes of what shares a transaction. */
export interface WriterObserver {
  readonly registrations?: OnBatch | undefined;
  readonly changes?: OnBatch | undefined;
}

/**
 * Creates the writer: the writes of concurrent callers share a transaction, registrations with registrations and
 * changes with changes. Each has its own outcome and, where it changes something, its own event. Those of one
 * transaction take effect one after the other: changes as they arrived, registrations by their emails.
 */
export function createUserWriter(
  database: Database,
  log: EventWriter,
  now: () => Date,
  onBatch: WriterObserver = {},
): UserWriter {
  const register = createGroupCommit<Registration, User>({
    ...registrationBounds,
    onBatch: onBatch.registrations,
    commit: (group) => registerUsers(database, log, group),
  });
  const change = createGroupCommit<Change, Account>({
    ...changeBounds,
    onBatch: onBatch.changes,
    commit: (group) => log.write((transaction) => changeUsers(transaction, group, now()), group),
  });
  return {
    register: (user, caller) => register({ user, caller }, caller),
    // Somebody may take a name between the look at who holds it and the update.
    change: (command, caller) => change({ command, caller }, caller).catch(throwTranslated),
  };
}

function throwTranslated(error: unknown): never {
  throw translateUniqueViolation(error);
}
