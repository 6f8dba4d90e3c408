/**
 * What kind of failure a {@link DomainError} is, independent of any transport. The server maps each kind to
 * one status code, in one place.
 */
export type ErrorKind =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "out_of_range"
  | "resource_exhausted"
  | "unavailable";

/** One field of a request that is wrong, and why, in words meant for the caller. */
export interface FieldViolation {
  /** Path of the field as the .proto file names it, e.g. `user.email`. */
  readonly field: string;
  readonly description: string;
  /** Stable identifier of the rule that was broken, e.g. `string.email`. */
  readonly reason?: string;
}

/**
 * An expected failure with a text that may be shown to the caller.
 *
 * Subclasses fix `kind` and `reason`; the message is public and therefore constant or made of the caller's
 * own input. Anything internal goes into `cause`, which never leaves the process.
 */
export abstract class DomainError extends Error {
  abstract readonly kind: ErrorKind;
  /** Stable, upper snake case: clients switch on it. */
  abstract readonly reason: string;
  /** Facts a client can act on, e.g. the earliest cursor. Public. */
  readonly metadata: Readonly<Record<string, string>> = {};
  /** The fields at fault, where the failure is about fields. */
  readonly violations: readonly FieldViolation[] = [];
  /** How long to wait before the same call may succeed, where that is known. */
  readonly retryAfterMs: number | undefined = undefined;
}

/** The database cannot be reached or went away in mid-call; the same call may work later. */
export class DatabaseUnavailableError extends DomainError {
  override readonly name = "DatabaseUnavailableError";
  readonly kind = "unavailable";
  readonly reason = "DATABASE_UNAVAILABLE";

  constructor(options?: ErrorOptions) {
    super("the database is unavailable; try again", options);
  }
}

/** The database has no room for a write, which was not done. Reads go on. */
export class DatabaseFullError extends DomainError {
  override readonly name = "DatabaseFullError";
  readonly kind = "resource_exhausted";
  readonly reason = "DATABASE_FULL";

  constructor(options?: ErrorOptions) {
    super(
      "the database has no room left: nothing was written, nor can be until its operator makes room",
      options,
    );
  }
}

/** How long to wait before a busy database is asked again: those who wait there now have gone through by then. */
const busyRetryMs = 1_000;

/** More wait for the database than may, or somebody has waited for too long; nothing was done. */
export class DatabaseBusyError extends DomainError {
  override readonly name = "DatabaseBusyError";
  readonly kind = "resource_exhausted";
  readonly reason = "DATABASE_BUSY";
  override readonly retryAfterMs = busyRetryMs;

  constructor() {
    super("too many calls wait for the database; try again a little later");
  }
}

/** As many faults as are named, and as many characters of each: gRPC sends them in a header, which has its limits. */
const [maxViolations, maxFieldLength, maxDescriptionLength] = [16, 100, 200];

/** Input that breaks a rule of the domain; names the fields at fault, the first of them where they are many. */
export class InvalidInputError extends DomainError {
  override readonly name = "InvalidInputError";
  readonly kind = "invalid_argument";
  readonly reason = "INVALID_INPUT";
  override readonly violations: readonly FieldViolation[];

  constructor(violations: readonly FieldViolation[]) {
    const named = violations.slice(0, maxViolations).map((violation) => ({
      ...violation,
      // A path quotes the keys of maps, which are as long as the caller likes.
      field: shorten(violation.field, maxFieldLength),
      description: shorten(violation.description, maxDescriptionLength),
    }));
    const texts = named.map((violation) => `${violation.field}: ${violation.description}`);
    super([...texts, ...(violations.length > named.length ? ["and more"] : [])].join("; "));
    this.violations = named;
  }
}

function shorten(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1).toWellFormed()}…`;
}

/** For a `catch`: says where in a request the fields are that an {@link InvalidInputError} names; throws it or `error`. */
export function throwWithin(parent: string, error: unknown): never {
  if (error instanceof InvalidInputError) {
    throw new InvalidInputError(
      error.violations.map((violation) => ({ ...violation, field: `${parent}.${violation.field}` })),
    );
  }
  throw error;
}
