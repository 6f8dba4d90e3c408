import { draftEvent, type EventDraft, type EventType } from "../events/event.ts";
import { type Account, type AccountChange, changeAccount } from "./account.ts";
import { EmailTakenError, UserNotFoundError, UsernameTakenError } from "./user.errors.ts";

/** A change of a user that exists, as data, so that those of many callers can be carried out together. */
export type ChangeCommand = { readonly id: string } & (
  | { readonly kind: "update"; readonly change: AccountChange }
  | { readonly kind: "delete" }
);

/** What the changes are decided on, as one transaction sees it. */
export interface ChangeBasis {
  /** The users to be changed, by id. */
  readonly users: ReadonlyMap<string, Account>;
  /** Ids of those that exist, but that another transaction has locked. */
  readonly busyIds: ReadonlySet<string>;
  /** Who holds the wanted emails and usernames, by email and by username. */
  readonly emailHolders: ReadonlyMap<string, string>;
  readonly usernameHolders: ReadonlyMap<string, string>;
}

/** The result of a change, the error that refuses it, or that this transaction cannot carry it out. */
export type ChangeOutcome = Account | Error | "not_now";

/** Writes that can be one statement of each kind. */
export interface ChangeRound {
  /** Ids of users to delete; to be done before the updates, which may take their names. */
  readonly deleted: ReadonlySet<string>;
  /** Users to update, by id, in the state in which the round leaves them. */
  readonly updated: ReadonlyMap<string, Account>;
}

/** What is to be written. */
export interface ChangeDecision {
  /** One for each command, in order; the user as the command left it. */
  readonly outcomes: readonly ChangeOutcome[];
  /** To be done one after the other. Nearly always there is one. */
  readonly rounds: readonly ChangeRound[];
  /** New password hashes, by the ids of their users. */
  readonly passwordHashes: ReadonlyMap<string, string>;
  /** One for each change, in order. */
  readonly events: readonly EventDraft[];
}

/** Decides what becomes of changes that are made one after the other. */
export function decideChanges(
  commands: readonly ChangeCommand[],
  basis: ChangeBasis,
  now: Date,
): ChangeDecision {
  const decision = new Decision(basis, now);
  return {
    outcomes: commands.map((command) => decision.decide(command)),
    rounds: decision.rounds,
    passwordHashes: decision.passwordHashes,
    events: decision.events,
  };
}

class Decision {
  readonly rounds: { readonly deleted: Set<string>; readonly updated: Map<string, Account> }[] = [];
  readonly passwordHashes = new Map<string, string>();
  readonly events: EventDraft[] = [];
  readonly #now: Date;
  readonly #users: Map<string, Account>;
  readonly #emails: Names;
  readonly #usernames: Names;
  /** Who has other names in the last round than before it. */
  readonly #renamed = new Set<string>();
  /** Whose later commands have to wait for an earlier one. */
  readonly #notNow: Set<string>;

  constructor(basis: ChangeBasis, now: Date) {
    this.#now = now;
    this.#users = new Map(basis.users);
    this.#emails = new Names(basis.emailHolders);
    this.#usernames = new Names(basis.usernameHolders);
    this.#notNow = new Set(basis.busyIds);
  }

  decide(command: ChangeCommand): ChangeOutcome {
    if (this.#notNow.has(command.id)) {
      return "not_now";
    }
    const user = this.#users.get(command.id);
    if (user === undefined) {
      return new UserNotFoundError();
    }
    return command.kind === "delete" ? this.#delete(user) : this.#update(user, command.change);
  }

  #update(user: Account, change: AccountChange): ChangeOutcome {
    let changed: Account;
    try {
      changed = changeAccount(user, change, this.#now);
    } catch (error) {
      return error as Error;
    }
    const { id } = user;
    if (changed.email !== user.email && this.#emails.isHeld(changed.email)) return new EmailTakenError();
    if (changed.username !== user.username && this.#usernames.isHeld(changed.username)) {
      return new UsernameTakenError();
    }
    if (
      this.#emails.isLeftByOther(changed.email, id) ||
      this.#usernames.isLeftByOther(changed.username, id)
    ) {
      this.#notNow.add(id);
      return "not_now";
    }
    this.#emails.move(id, user.email, changed.email);
    this.#usernames.move(id, user.username, changed.username);
    if (changed !== user) {
      this.#users.set(id, changed);
      this.#roundBehind(user, isSameName(user, changed)).updated.set(id, changed);
      if (change.passwordHash !== undefined) this.passwordHashes.set(id, change.passwordHash);
      this.events.push(draftEvent(nameChange(user, changed), changed, this.#now));
    }
    return changed;
  }

  /**
   * The round for a write behind what has been decided of a user so far. A name that the user has only until then
   * must be written all the same, in a round before: only the database knows whether somebody else is taking it at
   * this moment, and the log would show it with two holders.
   */
  #roundBehind(user: Account, keepsNames: boolean) {
    let round = this.rounds.at(-1);
    if (round === undefined || (!keepsNames && this.#renamed.has(user.id))) {
      round = { deleted: new Set<string>(), updated: new Map<string, Account>() };
      this.rounds.push(round);
      this.#renamed.clear();
    }
    if (!keepsNames) this.#renamed.add(user.id);
    return round;
  }

  #delete(user: Account): Account {
    this.#users.delete(user.id);
    const round = this.#roundBehind(user, false);
    round.updated.delete(user.id);
    round.deleted.add(user.id);
    this.passwordHashes.delete(user.id);
    this.#emails.free(user.email);
    this.#usernames.free(user.username);
    this.events.push(draftEvent("user_deleted", user, this.#now));
    return user;
  }
}

/** One change is one event, however much of it there is: that of the activity, where it changes, says the most. */
function nameChange(before: Account, after: Account): EventType {
  if (before.isActive === after.isActive) return "user_updated";
  return after.isActive ? "user_activated" : "user_deactivated";
}

function isSameName(before: Account, after: Account): boolean {
  return before.email === after.email && before.username === after.username;
}

/** Who holds the names of one column, while commands move them. The empty name is nobody's. */
class Names {
  readonly #holders: Map<string, string>;
  readonly #leftBy = new Map<string, string>();

  constructor(holders: ReadonlyMap<string, string>) {
    this.#holders = new Map(holders);
  }

  isHeld(name: string): boolean {
    return this.#holders.has(name);
  }

  /**
   * Whether somebody else gave the name up for another one. One statement cannot hand a name on: the database
   * checks it row by row, in an order of its own, and would find it still taken.
   */
  isLeftByOther(name: string, id: string): boolean {
    const leaver = this.#leftBy.get(name);
    return leaver !== undefined && leaver !== id;
  }

  move(id: string, from: string, to: string): void {
    if (from !== to) {
      this.free(from);
      if (from !== "") this.#leftBy.set(from, id);
      this.#holders.set(to, id);
    }
  }

  free(name: string): void {
    this.#holders.delete(name);
  }
}
