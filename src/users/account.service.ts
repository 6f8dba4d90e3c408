import { draftEvent } from "../events/event.ts";
import type { EventWriter } from "../events/event-writer.ts";
import type { CallerState, OnBatch } from "../platform/batcher.ts";
import { isStorableText } from "../platform/storable-text.ts";
import type { Database } from "../schema.ts";
import { mapCaller, type WriteCaller } from "../writes/write-record.ts";
import * as repository from "./account.repository.ts";
import {
  type Account,
  type AccountChange,
  createAccount,
  type LoginSubject,
  type NewAccount,
} from "./account.ts";
import * as passwords from "./password.repository.ts";
import { EmailTakenError, UserNotFoundError } from "./user.errors.ts";
import { normalizeEmail, requireUserId } from "./user.ts";
import { createAccountLookup } from "./user-lookup.ts";
import type { UserWriter } from "./user-writer.ts";

/**
 * Accounts: the same rows as the users of users.v1, with what only their own services see. Each change is one
 * event in the log. Ids may be any text: one that is no id belongs to nobody.
 */
export interface AccountService {
  /** @throws InvalidInputError, EmailTakenError */
  create(input: NewAccount, caller?: WriteCaller<Account>): Promise<Account>;
  /** Concurrent callers share queries. @throws UserNotFoundError */
  get(id: string, signal?: CallerState): Promise<Account>;
  /** Without regard to case; concurrent callers share queries. @throws UserNotFoundError */
  getByEmail(email: string, signal?: CallerState): Promise<Account>;
  /** One event, whatever changes; none where nothing does. @throws UserNotFoundError, InvalidInputError, EmailTakenError */
  update(id: string, change: AccountChange, caller?: WriteCaller<Account>): Promise<Account>;
  /** @throws UserNotFoundError */
  delete(id: string, caller?: WriteCaller<void>): Promise<void>;
  /** Without regard to case. */
  exists(email: string, signal?: AbortSignal): Promise<boolean>;
  /** The account that logs in with an email, and its password's hash. */
  findLogin(email: string, signal?: AbortSignal): Promise<LoginSubject | undefined>;
  /**
   * Puts a stronger hash of the same password in a hash's place, unless the password has changed meanwhile. No
   * change of the account: no event, and its tokens stay good.
   */
  replacePasswordHash(id: string, present: string, next: string): Promise<void>;
}

/** What the service is made of. */
export interface AccountServiceDependencies {
  readonly database: Database;
  readonly log: EventWriter;
  readonly writer: UserWriter;
  readonly now: () => Date;
  /** Told of how many look-ups share a query. */
  readonly onLookUps?: OnBatch | undefined;
}

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createAccountService(dependencies: AccountServiceDependencies): AccountService {
  const { database, log, writer, now, onLookUps } = dependencies;
  const lookup = createAccountLookup(database, onLookUps);

  return {
    create(input, caller) {
      // No group commit: the password's hash has taken a hundred times as long as the transaction does.
      return log.write(async (transaction) => {
        const account = createAccount(input, now());
        if (!(await repository.insertAccount(transaction, account))) {
          throw new EmailTakenError();
        }
        await passwords.setPasswordHashes(
          transaction,
          new Map([[account.id, input.passwordHash]]),
          account.createdAt,
        );
        return { result: account, events: [draftEvent("user_registered", account, account.createdAt)] };
      }, caller);
    },

    async get(id, signal) {
      return lookup.id(requireUserId(id), signal);
    },

    async getByEmail(email, signal) {
      if (!isStorableText(email)) throw new UserNotFoundError();
      return lookup.email(normalizeEmail(email), signal);
    },

    async update(id, change, caller) {
      return writer.change({ kind: "update", id: requireUserId(id), change }, caller);
    },

    async delete(id, caller) {
      await writer.change(
        { kind: "delete", id: requireUserId(id) },
        mapCaller(caller, () => {}),
      );
    },

    async exists(email, signal) {
      signal?.throwIfAborted();
      return isStorableText(email) && (await repository.emailExists(database, normalizeEmail(email)));
    },

    async findLogin(email, signal) {
      signal?.throwIfAborted();
      return isStorableText(email) ? repository.findLoginSubject(database, normalizeEmail(email)) : undefined;
    },

    replacePasswordHash: (id, present, next) => passwords.replacePasswordHash(database, id, present, next),
  };
}
