import { type FieldViolation, InvalidInputError } from "../platform/errors.ts";
import { newId } from "../platform/new-id.ts";
import { UserNotFoundError } from "./user.errors.ts";

/** A user, as users.v1 shows it. Email and username are in their normal form. */
export interface User {
  readonly id: string;
  readonly email: string;
  /** Empty until one is set: an account may be made without. */
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

/** The form in which an id is stored. @throws UserNotFoundError where the text is no id: it is nobody's */
export function requireUserId(text: string): string {
  const id = normalizeUserId(text);
  if (id === undefined) {
    throw new UserNotFoundError();
  }
  return id;
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

/** @throws InvalidInputError that names each field at fault, where there is one */
export function assertNoViolations(candidates: readonly (FieldViolation | undefined)[]): void {
  const violations = candidates.filter((violation) => violation !== undefined);
  if (violations.length > 0) {
    throw new InvalidInputError(violations);
  }
}
