import type { CallerState, OnBatch } from "../platform/batcher.ts";
import { isStorableText } from "../platform/storable-text.ts";
import type { Database } from "../schema.ts";
import { mapCaller, type WriteCaller } from "../writes/write-record.ts";
import { type AccountChange, toUser, type UserChange } from "./account.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { InvalidPageTokenError, UserNotFoundError } from "./user.errors.ts";
import type { UserKey } from "./user.repository.ts";
import * as repository from "./user.repository.ts";
import type { User } from "./user.ts";
import { createUser, normalizeEmail, normalizeUserId, normalizeUsername, requireUserId } from "./user.ts";
import { createUserLookup } from "./user-lookup.ts";
import type { UserWriter } from "./user-writer.ts";

/**
 * Users: looking them up and changing them. Each change is one event.
 *
 * Concurrent calls share queries and transactions. A signal that aborts while its call waits for one of them takes
 * the call out; later it changes nothing for a look-up or a registration, and a change is dropped only if nobody who
 * shares its transaction waits any more. A write that fails with its signal's reason has not happened. None but `list` fails
 * at the moment of the abort: the server's own request path does that.
 */
export interface UserService {
  /** @throws InvalidInputError, EmailTakenError, UsernameTakenError */
  register(input: { email: string; username: string }, caller?: WriteCaller<User>): Promise<User>;
  /** Looks up by one key, emails and usernames without regard to case. @throws UserNotFoundError */
  get(key: UserKey, signal?: CallerState): Promise<User>;
  /** The users that exist, in the order of the ids, each once. */
  batchGet(ids: readonly string[], signal?: AbortSignal): Promise<User[]>;
  /** A page of all users, oldest first. @throws InvalidPageTokenError */
  list(page: { size: number; token: string }, signal?: AbortSignal): Promise<UserPage>;
  /** @throws UserNotFoundError, InvalidInputError, EmailTakenError, UsernameTakenError */
  update(id: string, change: UserChange, caller?: WriteCaller<User>): Promise<User>;
  /** @throws UserNotFoundError */
  setActive(id: string, isActive: boolean, caller?: WriteCaller<User>): Promise<User>;
  /** @throws UserNotFoundError */
  delete(id: string, caller?: WriteCaller<void>): Promise<void>;
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
  readonly writer: UserWriter;
  readonly now: () => Date;
  /** Told of how many look-ups share a query. */
  readonly onLookUps?: OnBatch | undefined;
}

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createUserService(dependencies: UserServiceDependencies): UserService {
  const { database, writer, now, onLookUps } = dependencies;
  const lookup = createUserLookup(database, onLookUps);

  async function update(id: string, change: AccountChange, caller?: WriteCaller<User>): Promise<User> {
    return toUser(await writer.change({ kind: "update", id: requireUserId(id), change }, caller));
  }

  return {
    async register(input, caller) {
      return writer.register(createUser(input, now()), caller);
    },

    get(key, signal) {
      const value = normalizeKey(key);
      return value === undefined
        ? Promise.reject(new UserNotFoundError())
        : lookup[key.column](value, signal);
    },

    async batchGet(ids, signal) {
      signal?.throwIfAborted();
      const distinct = [...new Set(ids.flatMap((id) => normalizeUserId(id) ?? []))];
      const users = await repository.findUsers(database, "id", distinct);
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

    update,

    setActive: (id, isActive, caller) => update(id, { isActive }, caller),

    async delete(id, caller) {
      await writer.change(
        { kind: "delete", id: requireUserId(id) },
        mapCaller(caller, () => {}),
      );
    },
  };
}

/**
 * The key's value in its normal form; undefined where no user can have it. One that the database refuses must
 * not get into a query that others share.
 */
function normalizeKey({ column, value }: UserKey): string | undefined {
  switch (column) {
    case "id":
      return normalizeUserId(value);
    case "email":
      return isStorableText(value) ? normalizeEmail(value) : undefined;
    case "username":
      return isStorableText(value) ? normalizeUsername(value) : undefined;
  }
}
