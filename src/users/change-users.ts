import type { Written } from "../events/event-writer.ts";
import { type CommandGroup, type CommandOutcome, putOff } from "../platform/group-commit.ts";
import type { Transaction } from "../schema.ts";
import { AnswerKeptError } from "../writes/idempotency.errors.ts";
import { nameOf, type SortedCalls, sortByKey } from "../writes/repetitions.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { deleteUsers, lockUsers, updateUsers } from "./account.repository.ts";
import type { Account } from "./account.ts";
import { setPasswordHashes } from "./password.repository.ts";
import { findNameHolders } from "./user.repository.ts";
import { findEmailViolation, findUsernameViolation, normalizeEmail, normalizeUsername } from "./user.ts";
import { type ChangeBasis, type ChangeCommand, type ChangeOutcome, decideChanges } from "./user-change.ts";

/** A change, and for whom. */
export interface Change {
  readonly command: ChangeCommand;
  readonly caller: WriteCaller<Account> | undefined;
}

/** Makes changes together, in the order of their arrival, as far as users are free, with their events and records. */
export async function changeUsers(
  transaction: Transaction,
  group: CommandGroup<Change>,
  now: Date,
): Promise<Written<readonly CommandOutcome<Account>[]>> {
  const sorted = sortByKey(group.claim());
  const { changes, basis } = await readBasis(transaction, sorted, group.mayWait);
  const commands = changes.map(({ command }) => command);
  const { outcomes, rounds, passwordHashes, events } = decideChanges(commands, basis, now);
  for (const { deleted, updated } of rounds) {
    if (deleted.size > 0) await deleteUsers(transaction, [...deleted]);
    if (updated.size > 0) await updateUsers(transaction, [...updated.values()]);
  }
  if (passwordHashes.size > 0) await setPasswordHashes(transaction, passwordHashes, now);
  const outcomeOf = new Map(changes.map((change, index) => [change, outcomes[index]]));
  return {
    result: sorted.settle((change) => {
      const outcome = outcomeOf.get(change) ?? new AnswerKeptError();
      return outcome === "not_now" ? putOff : outcome;
    }),
    events,
    records: changes.flatMap(({ caller }, index) => {
      const outcome = outcomes[index];
      return isMade(outcome) ? (caller?.record?.(outcome) ?? []) : [];
    }),
  };
}

function isMade(outcome: ChangeOutcome | undefined): outcome is Account {
  return outcome !== undefined && outcome !== "not_now" && !(outcome instanceof Error);
}

/** The changes that are none of a call which has been answered before, and what they are decided on. */
async function readBasis(
  transaction: Transaction,
  { first, keyHashes }: SortedCalls<Change>,
  mayWait: boolean,
): Promise<{ changes: readonly Change[]; basis: ChangeBasis }> {
  const ids = new Set(first.map(({ command }) => command.id));
  const { keptKeys, ...locked } = await lockUsers(transaction, [...ids], mayWait, keyHashes);
  const changes =
    keptKeys.size === 0
      ? first
      : first.filter(({ caller }) => caller?.keyHash === undefined || !keptKeys.has(nameOf(caller.keyHash)));
  const wanted = changes.flatMap(({ command }) => (command.kind === "update" ? command.change : []));
  const emails = wanted.flatMap(({ email = "" }) => (isEmail(email) ? normalizeEmail(email) : []));
  const usernames = wanted.flatMap(({ username = "" }) =>
    isUsername(username) ? normalizeUsername(username) : [],
  );
  // Behind the locks: the names of those that are locked stay as they are read here.
  const holders =
    emails.length + usernames.length === 0 ? [] : await findNameHolders(transaction, emails, usernames);
  return {
    changes,
    basis: {
      ...locked,
      emailHolders: new Map(holders.map((holder) => [holder.email, holder.id])),
      usernameHolders: new Map(holders.map((holder) => [holder.username ?? "", holder.id])),
    },
  };
}

function isEmail(text: string): boolean {
  return findEmailViolation(text, "") === undefined;
}

function isUsername(text: string): boolean {
  return findUsernameViolation(text, "") === undefined;
}
