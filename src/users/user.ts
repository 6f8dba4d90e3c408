import { type FieldViolation, InvalidInputError } from "../platform/errors.ts";
import { newId } from "../platform/new-id.ts";

/** A user. Email and username are in their normal form. */
export interface User {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly isActive: boolean;
  readonly createdAt: Date;
}

/** RFC 5321 allows a path of 256 octets, which includes its two angle brackets. */
const maxEmailLength = 254;

/**
 * The address pattern of the HTML standard (html.spec.whatwg.org, "valid email address"), which protovalidate's
 * `string.email` uses too, so that both refuse the same.
 */
const emailPattern =
  /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

const usernamePattern = /^[a-zA-Z][a-zA-Z0-9_]{1,28}[a-zA-Z0-9]$/;

/** The form in which an email is stored, compared and unique. */
export function normalizeEmail(text: string): string {
  return text.toLowerCase();
}

/** The form in which a username is stored, compared and unique. */
export function normalizeUsername(text: string): string {
  return text.toLowerCase();
}

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The form in which an id is stored; undefined where the text is no id. */
export function normalizeUserId(text: string): string | undefined {
  const id = text.toLowerCase();
  return uuidPattern.test(id) ? id : undefined;
}

/** What is wrong with an email, if anything; `field` is where it came from. */
export function findEmailViolation(text: string, field: string): FieldViolation | undefined {
  return text.length <= maxEmailLength && emailPattern.test(text)
    ? undefined
    : {
        field,
        description: `must be an email address of at most ${maxEmailLength} characters`,
        reason: "email",
      };
}

/** What is wrong with a username, if anything; `field` is where it came from. */
export function findUsernameViolation(text: string, field: string): FieldViolation | undefined {
  return usernamePattern.test(text)
    ? undefined
    : {
        field,
        description:
          "must be 3 to 30 letters, digits or underscores, begin with a letter and not end in an underscore",
        reason: "username",
      };
}

/**
 * Makes a new, active user with an id of its own.
 *
 * @throws InvalidInputError that names each field at fault
 */
export function createUser(input: { email: string; username: string }, now: Date): User {
  assertNoViolations([
    findEmailViolation(input.email, "email"),
    findUsernameViolation(input.username, "username"),
  ]);
  return {
    id: newId(now),
    email: normalizeEmail(input.email),
    username: normalizeUsername(input.username),
    isActive: true,
    createdAt: now,
  };
}

/** New values; what is undefined stays. */
export interface UserChange {
  readonly email?: string | undefined;
  readonly username?: string | undefined;
}

/**
 * Applies a change.
 *
 * @returns the changed user, or the very same object where the change changes nothing
 * @throws InvalidInputError that names each field at fault
 */
export function changeUser(user: User, change: UserChange): User {
  assertNoViolations([
    change.email === undefined ? undefined : findEmailViolation(change.email, "user.email"),
    change.username === undefined ? undefined : findUsernameViolation(change.username, "user.username"),
  ]);
  const email = change.email === undefined ? user.email : normalizeEmail(change.email);
  const username = change.username === undefined ? user.username : normalizeUsername(change.username);
  return email === user.email && username === user.username ? user : { ...user, email, username };
}

/** The user with the given activity, or the very same object where it has it already. */
export function setUserActive(user: User, isActive: boolean): User {
  return user.isActive === isActive ? user : { ...user, isActive };
}

function assertNoViolations(candidates: readonly (FieldViolation | undefined)[]): void {
  const violations = candidates.filter((violation) => violation !== undefined);
  if (violations.length > 0) {
    throw new InvalidInputError(violations);
  }
}
