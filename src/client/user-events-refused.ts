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
  override readonly name = "UserEventsRefusedError";
  readonly code: Code;
  /**
   * Stable: `CURSOR_INVALID`, `CURSOR_FOREIGN`, `CURSOR_AHEAD`, `CURSOR_COMPACTED`; undefined where the server
   * gave none.
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

/** Whether another attempt with the same request would end in the same way. */
export function isRefusal(error: ConnectError): boolean {
  return finalCodes.has(error.code);
}
