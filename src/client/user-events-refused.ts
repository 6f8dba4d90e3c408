import { Code, type ConnectError } from "@connectrpc/connect";
import { findErrorReason } from "./error-details.ts";

/** These say that the request, not the server, is wrong: to try again changes nothing. */
const finalCodes = new Set([
  Code.InvalidArgument,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.Unimplemented,
]);

/** The server refused to stream, and would refuse again. The `cause` is the ConnectError. */
export class UserEventsRefusedError extends Error {
  override readonly name: string = "UserEventsRefusedError";
  readonly code: Code;
  /**
   * Stable: `CURSOR_INVALID`, `CURSOR_FOREIGN`, `CURSOR_AHEAD`, `CURSOR_COMPACTED`, `PERMISSION_MISSING`; undefined
   * where the server gave none.
   */
  readonly reason: string | undefined;
  /** With `CURSOR_COMPACTED`: the oldest cursor that can still be resumed behind. */
  readonly earliestCursor: string | undefined;

  constructor(cause: ConnectError) {
    super(`the server refused to stream events: ${cause.message}`, { cause });
    const info = findErrorReason(cause);
    this.code = cause.code;
    this.reason = info?.reason;
    this.earliestCursor = info?.metadata["earliest_cursor"];
  }
}

/**
 * The server does not accept the credential (UNAUTHENTICATED): it is missing, wrong, revoked or has expired, and so is
 * the one that was had when it was asked for anew.
 */
export class CredentialRefusedError extends UserEventsRefusedError {
  override readonly name = "CredentialRefusedError";
}

/** The error for people of what {@link isRefusal} says is final. */
export function toRefusedError(error: ConnectError): UserEventsRefusedError {
  return error.code === Code.Unauthenticated
    ? new CredentialRefusedError(error)
    : new UserEventsRefusedError(error);
}

/** Whether another attempt with the same request would end in the same way. */
export function isRefusal(error: ConnectError): boolean {
  return finalCodes.has(error.code);
}
