import type { FieldViolation } from "../platform/errors.ts";
import { newId } from "../platform/new-id.ts";
import { isStorableText } from "../platform/storable-text.ts";
import {
  assertNoViolations,
  findEmailViolation,
  findUsernameViolation,
  normalizeEmail,
  normalizeUsername,
  type User,
} from "./user.ts";

/** A user with what only the account's own services see. */
export interface Account extends User {
  /** Empty where nobody has given one. */
  readonly fullName: string;
  readonly isSuperuser: boolean;
  readonly updatedAt: Date;
  /** Rises with whatever ends the tokens issued so far: a new password, a deactivation. */
  readonly tokenEpoch: number;
}

/** What users.v1 shows of an account. */
export function toUser({ id, email, username, isActive, createdAt }: Account): User {
  return { id, email, username, isActive, createdAt };
}

/** The account to create. */
export interface NewAccount {
  readonly email: string;
  readonly fullName: string;
  readonly isActive: boolean;
  readonly isSuperuser: boolean;
  /** In the PHC string format. */
  readonly passwordHash: string;
}

/** New values; what is undefined stays. */
export interface AccountChange {
  readonly email?: string | undefined;
  readonly username?: string | undefined;
  readonly fullName?: string | undefined;
  readonly isActive?: boolean | undefined;
  readonly isSuperuser?: boolean | undefined;
  /** In the PHC string format. */
  readonly passwordHash?: string | undefined;
}

/** What users.v1 can change. */
export type UserChange = Pick<AccountChange, "email" | "username">;

/** What a login is checked against. */
export interface LoginSubject {
  readonly account: Account;
  /** Undefined where no password has been set. */
  readonly passwordHash: string | undefined;
}

const maxFullNameLength = 200;

/**
 * Makes a new account without a username.
 *
 * @throws InvalidInputError that names each field at fault
 */
export function createAccount(input: NewAccount, now: Date): Account {
  assertNoViolations([findEmailViolation(input.email, "email"), findFullNameViolation(input.fullName)]);
  return {
    id: newId(now),
    email: normalizeEmail(input.email),
    username: "",
    isActive: input.isActive,
    createdAt: now,
    fullName: input.fullName,
    isSuperuser: input.isSuperuser,
    updatedAt: now,
    tokenEpoch: 0,
  };
}

/**
 * Applies a change.
 *
 * @returns the changed account, or the very same object where the change changes nothing
 * @throws InvalidInputError that names each field at fault
 */
export function changeAccount(account: Account, change: AccountChange, now: Date): Account {
  const { email, username, fullName } = change;
  assertNoViolations([
    email === undefined ? undefined : findEmailViolation(email, "email"),
    username === undefined ? undefined : findUsernameViolation(username, "username"),
    fullName === undefined ? undefined : findFullNameViolation(fullName),
  ]);
  const next = {
    email: email === undefined ? account.email : normalizeEmail(email),
    username: username === undefined ? account.username : normalizeUsername(username),
    fullName: fullName ?? account.fullName,
    isActive: change.isActive ?? account.isActive,
    isSuperuser: change.isSuperuser ?? account.isSuperuser,
    tokenEpoch: account.tokenEpoch + (endsTokens(account, change) ? 1 : 0),
  };
  const isSame = (Object.keys(next) as (keyof typeof next)[]).every((key) => next[key] === account[key]);
  return isSame ? account : { ...account, ...next, updatedAt: now };
}

function endsTokens(account: Account, change: AccountChange): boolean {
  return change.passwordHash !== undefined || (account.isActive && change.isActive === false);
}

function findFullNameViolation(text: string): FieldViolation | undefined {
  return [...text].length <= maxFullNameLength && isStorableText(text)
    ? undefined
    : {
        field: "full_name",
        description: `must be at most ${maxFullNameLength} characters, none of them U+0000`,
        reason: "full_name",
      };
}
