import { draftEvent, type EventType } from "../events/event.ts";
import type { EventLog, Written } from "../events/event-log.ts";
import type { Database, Transaction } from "../schema.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import {
  EmailTakenError,
  InvalidPageTokenError,
  UserNotFoundError,
  UsernameTakenError,
} from "./user.errors.ts";
import type { UserKey } from "./user.repository.ts";
import * as repository from "./user.repository.ts";
import type { User, UserChange } from "./user.ts";
import { changeUser, createUser, normalizeEmail, normalizeUsername, setUserActive } from "./user.ts";

/** Users: looking them up and changing them. Each change is one event. */
export interface UserService {
  /** @throws InvalidInputError, EmailTakenError, UsernameTakenError */
  register(input: { email: string; username: string }, signal?: AbortSignal): Promise<User>;
  /** Looks up by one key, emails and usernames without regard to case. @throws UserNotFoundError */
  get(key: UserKey, signal?: AbortSignal): Promise<User>;
  /** The users that exist, in the order of the ids, each once. */
  batchGet(ids: readonly string[], signal?: AbortSignal): Promise<User[]>;
  /** A page of all users, oldest first. @throws InvalidPageTokenError */
  list(page: { size: number; token: string }, signal?: AbortSignal): Promise<UserPage>;
  /** @throws UserNotFoundError, InvalidInputError, EmailTakenError, UsernameTakenError */
  update(id: string, change: UserChange, signal?: AbortSignal): Promise<User>;
  /** @throws UserNotFoundError */
  setActive(id: string, isActive: boolean, signal?: AbortSignal): Promise<User>;
  /** @throws UserNotFoundError */
  delete(id: string, signal?: AbortSignal): Promise<void>;
}

/** A page of users and the token of the next, which is empty on the last. */
export interface UserPage {
  readonly users: readonly User[];
  readonly nextToken: string;
}

const defaultPageSize = 50;
const maxPageSize = 1_000;

/** What the service is made of. */
export interface UserServiceDependencies {
  readonly database: Database;
  readonly log: EventLog;
  readonly now: () => Date;
}

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createUserService({ database, log, now }: UserServiceDependencies): UserService {
  async function changeLocked(
    id: string,
    change: (user: User) => User,
    eventType: EventType,
    signal?: AbortSignal,
  ): Promise<User> {
    return log.write(async (transaction) => {
      const user = await getLocked(transaction, id);
      const changed = change(user);
      if (changed === user) {
        return { result: user, events: [] };
      }
      await repository.updateUser(transaction, changed);
      return { result: changed, events: [draftEvent(eventType, changed, now())] };
    }, signal);
  }

  return {
    register: (input, signal) =>
      log.write((transaction) => registerUser(transaction, createUser(input, now())), signal),

    async get(key, signal) {
      const user = await repository.findUser(database, normalizeKey(key), signal);
      if (user === undefined) {
        throw new UserNotFoundError();
      }
      return user;
    },

    async batchGet(ids, signal) {
      const distinct = [...new Set(ids.map((id) => id.toLowerCase()))];
      const users = await repository.findUsers(database, distinct, signal);
      const byId = new Map(users.map((user) => [user.id, user]));
      return distinct.flatMap((id) => byId.get(id) ?? []);
    },

    async list(page, signal) {
      const size = page.size === 0 ? defaultPageSize : Math.min(page.size, maxPageSize);
      const after = page.token === "" ? undefined : decodePageToken(page.token);
      if (page.token !== "" && after === undefined) {
        throw new InvalidPageTokenError();
      }
      // One more than asked for tells whether there is a next page without a second query.
      const found = await repository.listUsersAfter(database, after, size + 1, signal);
      const users = found.slice(0, size);
      const last = users.at(-1);
      return {
        users,
        nextToken: found.length > size && last !== undefined ? encodePageToken(last.id) : "",
      };
    },

    update: (id, change, signal) =>
      changeLocked(id, (user) => changeUser(user, change), "user_updated", signal),

    setActive: (id, isActive, signal) =>
      changeLocked(
        id,
        (user) => setUserActive(user, isActive),
        isActive ? "user_activated" : "user_deactivated",
        signal,
      ),

    delete: (id, signal) =>
      log.write(async (transaction) => {
        const user = await getLocked(transaction, id);
        await repository.deleteUser(transaction, id);
        return { result: undefined, events: [draftEvent("user_deleted", user, now())] };
      }, signal),
  };
}

async function registerUser(transaction: Transaction, user: User): Promise<Written<User>> {
  const taken = (await repository.insertUsers(transaction, [user])).get(user.id);
  if (taken !== undefined) {
    throw taken === "email" ? new EmailTakenError() : new UsernameTakenError();
  }
  return { result: user, events: [draftEvent("user_registered", user, user.createdAt)] };
}

async function getLocked(transaction: Transaction, id: string): Promise<User> {
  const user = await repository.lockUser(transaction, id);
  if (user === undefined) {
    throw new UserNotFoundError();
  }
  return user;
}

function normalizeKey(key: UserKey): UserKey {
  switch (key.column) {
    case "id":
      return key;
    case "email":
      return { column: "email", value: normalizeEmail(key.value) };
    case "username":
      return { column: "username", value: normalizeUsername(key.value) };
  }
}
