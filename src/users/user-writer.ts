import { draftEvent } from "../events/event.ts";
import type { EventWriter, Written } from "../events/event-writer.ts";
import type { Submit } from "../platform/batcher.ts";
import {
  type CommandGroup,
  type CommandOutcome,
  createGroupCommit,
  putOff,
} from "../platform/group-commit.ts";
import type { Database, Transaction } from "../schema.ts";
import { deleteUsers, lockUsers, updateUsers } from "./account.repository.ts";
import type { Account } from "./account.ts";
import { setPasswordHashes } from "./password.repository.ts";
import { EmailTakenError, UsernameTakenError } from "./user.errors.ts";
import {
  findNameHolders,
  findTaken,
  insertDraftedUsers,
  type Taken,
  translateUniqueViolation,
} from "./user.repository.ts";
import {
  findEmailViolation,
  findUsernameViolation,
  normalizeEmail,
  normalizeUsername,
  type User,
} from "./user.ts";
import { type ChangeBasis, type ChangeCommand, decideChanges } from "./user-change.ts";

/** docs/decisions/0006-coalescing.md has the measurements. */
const registrationBounds = { maxBatchSize: 500, maxInFlight: 2 };
/** One at a time: two would find each other's users locked and put them off, one transaction each. */
const changeBounds = { maxBatchSize: 500, maxInFlight: 1 };

/** Carries commands out and gives the users as they left them. */
export interface UserWriter {
  readonly register: Submit<User, User>;
  readonly change: Submit<ChangeCommand, Account>;
}

/**
 * Creates the writer: the writes of concurrent callers share a transaction, registrations with registrations and
 * changes with changes. Each has its own outcome and, where it changes something, its own event. Those of one
 * transaction take effect one after the other: changes as they arrived, registrations by their emails.
 */
export function createUserWriter(database: Database, log: EventWriter, now: () => Date): UserWriter {
  const register = createGroupCommit<User, User>({
    ...registrationBounds,
    commit: (group) => registerUsers(database, log, group),
  });
  const change = createGroupCommit<ChangeCommand, Account>({
    ...changeBounds,
    commit: (group) => log.write((transaction) => changeUsers(transaction, group, now()), group),
  });
  return {
    register,
    // Somebody may take a name between the look at who holds it and the update.
    change: (command, signal) => change(command, signal).catch(throwTranslated),
  };
}

function throwTranslated(error: unknown): never {
  throw translateUniqueViolation(error);
}

async function registerUsers(
  database: Database,
  log: EventWriter,
  group: CommandGroup<User>,
): Promise<readonly CommandOutcome<User>[]> {
  let users: readonly User[] = [];
  const draft = () => {
    users = group.claim();
    // In one order, or two processes that register the same people at the same time would deadlock.
    return users
      .toSorted((one, other) => compareTexts(one.email, other.email))
      .map((user) => draftEvent("user_registered", user, user.createdAt));
  };
  const refusedIds = await log.writeDrafted(draft, insertDraftedUsers, group);
  if (refusedIds.size === 0) {
    return users;
  }
  const refused = users.filter((user) => refusedIds.has(user.id));
  // The others are registered, whatever becomes of this.
  const taken = await findTaken(database, refused).catch((error: Error) => error);
  return users.map((user) => (refusedIds.has(user.id) ? toRefusal(user, taken) : user));
}

/** Why a user was refused. Whom it collided with may have been deleted meanwhile: then it is tried again. */
function toRefusal(user: User, taken: ReadonlyMap<string, Taken> | Error): CommandOutcome<User> {
  if (taken instanceof Error) return taken;
  const what = taken.get(user.id);
  if (what === undefined) return putOff;
  return what === "email" ? new EmailTakenError() : new UsernameTakenError();
}

function compareTexts(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

async function changeUsers(
  transaction: Transaction,
  group: CommandGroup<ChangeCommand>,
  now: Date,
): Promise<Written<readonly CommandOutcome<Account>[]>> {
  const commands = group.claim();
  const basis = await readBasis(transaction, commands, group.mayWait);
  const { outcomes, rounds, passwordHashes, events } = decideChanges(commands, basis, now);
  for (const { deleted, updated } of rounds) {
    if (deleted.size > 0) await deleteUsers(transaction, [...deleted]);
    if (updated.size > 0) await updateUsers(transaction, [...updated.values()]);
  }
  if (passwordHashes.size > 0) await setPasswordHashes(transaction, passwordHashes, now);
  return { result: outcomes.map((outcome) => (outcome === "not_now" ? putOff : outcome)), events };
}

async function readBasis(
  transaction: Transaction,
  commands: readonly ChangeCommand[],
  mayWait: boolean,
): Promise<ChangeBasis> {
  const ids = new Set(commands.map((command) => command.id));
  const locked = await lockUsers(transaction, [...ids], mayWait);
  const wanted = commands.flatMap((command) => (command.kind === "update" ? command.change : []));
  const emails = wanted.flatMap(({ email = "" }) => (isEmail(email) ? normalizeEmail(email) : []));
  const usernames = wanted.flatMap(({ username = "" }) =>
    isUsername(username) ? normalizeUsername(username) : [],
  );
  // Behind the locks: the names of those that are locked stay as they are read here.
  const holders =
    emails.length + usernames.length === 0 ? [] : await findNameHolders(transaction, emails, usernames);
  return {
    ...locked,
    emailHolders: new Map(holders.map((holder) => [holder.email, holder.id])),
    usernameHolders: new Map(holders.map((holder) => [holder.username ?? "", holder.id])),
  };
}

function isEmail(text: string): boolean {
  return findEmailViolation(text, "") === undefined;
}

function isUsername(text: string): boolean {
  return findUsernameViolation(text, "") === undefined;
}
