import { draftEvent } from "../events/event.ts";
import type { EventWriter, Written } from "../events/event-writer.ts";
import { createBatchLoader } from "../platform/batch-loader.ts";
import type { Database, Transaction } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { UserService } from "../users/user.service.ts";
import { requireUserId } from "../users/user.ts";
import { lockUser } from "../users/user-lock.ts";
import { mapCaller, type WriteCaller } from "../writes/write-record.ts";
import type { AccountSource, Caller } from "./account-source.ts";
import { type Page, toPage } from "./page.ts";
import { findProfiles, saveProfile } from "./profile.repository.ts";
import {
  changeProfile,
  emptyProfile,
  type Profile,
  type ProfileChange,
  type ProfileEntry,
  toProfile,
} from "./profile.ts";
import type { SearchFilter, UserSearch } from "./search/user-search.ts";
import { requireStorable } from "./storable-input.ts";

/** What people say about themselves, together with what their accounts say. */
export interface ProfileService {
  /** Concurrent callers share queries. @throws UserNotFoundError, AuthUnavailableError */
  get(userId: string, caller?: Caller): Promise<Profile>;
  /** Without regard to case. @throws UserNotFoundError, AuthUnavailableError */
  getByEmail(email: string, caller?: Caller): Promise<Profile>;
  /**
   * Changes what is not undefined: one event if anything differs, none if not. Where it fails with
   * AuthUnavailableError, nothing has changed.
   *
   * @param writer the caller of the write
   * @throws UserNotFoundError, InvalidInputError, AuthUnavailableError
   */
  update(
    userId: string,
    change: ProfileChange,
    caller?: Caller,
    writer?: WriteCaller<Profile>,
  ): Promise<Profile>;
  /** A page of those who match, best first; see {@link toPage} for its bounds. @throws what the search throws */
  search(query: ProfileQuery, caller?: Caller): Promise<{ profiles: readonly Profile[]; total: number }>;
}

/** Whom to find. */
export interface ProfileQuery extends Page {
  readonly text: string;
  readonly filters: readonly SearchFilter[];
}

/** What the service is made of. */
export interface ProfileServiceDependencies {
  readonly database: Database;
  readonly log: EventWriter;
  readonly accounts: AccountSource;
  /** Knows whose an email is. */
  readonly users: Pick<UserService, "get">;
  readonly search: Pick<UserSearch, "search">;
  readonly now: () => Date;
}

/** As for the look-ups of users: docs/decisions/0006-coalescing.md. */
const lookupBounds = { maxBatchSize: 500, maxInFlight: 2 };

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createProfileService(dependencies: ProfileServiceDependencies): ProfileService {
  const { database, log, accounts, users, search, now } = dependencies;
  const loadEntry = createBatchLoader<string, ProfileEntry>({
    ...lookupBounds,
    missing: () => new UserNotFoundError(),
    async load(userIds) {
      const found = await findProfiles(database, userIds);
      return new Map(userIds.map((userId) => [userId, found.get(userId) ?? emptyProfile]));
    },
  });

  async function get(userId: string, caller?: Caller): Promise<Profile> {
    const id = requireUserId(userId);
    const [account, entry] = await Promise.all([accounts.get(id, caller), loadEntry(id, caller?.signal)]);
    return toProfile(account, entry);
  }

  return {
    get,

    async getByEmail(email, caller) {
      const { id } = await users.get({ column: "email", value: email }, caller?.signal);
      return get(id, caller);
    },

    async update(userId, change, caller, writer: WriteCaller<Profile> | undefined = caller?.signal) {
      const id = requireUserId(userId);
      requireStorable({
        display_name: change.displayName,
        avatar_url: change.avatarUrl,
        bio: change.bio,
        location: change.location,
        website: change.website,
      });
      // First, because it may fail: once the change has been committed, the answer must not depend on anybody else.
      const account = await accounts.get(id, caller);
      const entry = await log.write(
        (transaction) => writeChange(transaction, id, change, now()),
        mapCaller(writer, (written: ProfileEntry) => toProfile(account, written)),
      );
      return toProfile(account, entry);
    },

    async search({ text, filters, ...page }, caller) {
      requireStorable({ query: text });
      const { userIds, total } = await search.search({ text, filters, ...toPage(page) }, caller?.signal);
      const [found, entries] = await Promise.all([
        accounts.getMany(userIds, caller),
        userIds.length === 0 ? new Map<string, ProfileEntry>() : findProfiles(database, userIds),
      ]);
      const profiles = userIds.flatMap((id) => {
        // Who has been deleted since the search is left out.
        const account = found.get(id);
        return account === undefined ? [] : toProfile(account, entries.get(id) ?? emptyProfile);
      });
      return { profiles, total };
    },
  };
}

/** The user's lock makes concurrent changes of one profile wait for each other, so that none is lost. */
async function writeChange(
  transaction: Transaction,
  userId: string,
  change: ProfileChange,
  now: Date,
): Promise<Written<ProfileEntry>> {
  const user = await lockUser(transaction, userId);
  if (user === undefined) throw new UserNotFoundError();
  const entry = (await findProfiles(transaction, [userId])).get(userId) ?? emptyProfile;
  const changed = changeProfile(entry, change, now);
  if (changed === entry) return { result: entry, events: [] };
  await saveProfile(transaction, userId, changed);
  return { result: changed, events: [draftEvent("user_updated", user, now)] };
}
