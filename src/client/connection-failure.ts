import { Code, ConnectError } from "@connectrpc/connect";

/**
 * A failed call's error, with one code for a server that cannot be reached whatever the transport: UNAVAILABLE.
 *
 * @param signal the caller's own
 */
export function toCallError(failure: unknown, signal: AbortSignal | undefined): ConnectError {
  const error = ConnectError.from(failure);
  if (!isConnectionFailure(error, signal)) {
    return error;
  }
  return new ConnectError(
    `the connection failed: ${error.rawMessage}`,
    Code.Unavailable,
    error.metadata,
    undefined,
    error,
  );
}

function isConnectionFailure(error: ConnectError, signal: AbortSignal | undefined): boolean {
  switch (error.code) {
    case Code.Unknown: // fetch's errors
    case Code.Aborted: // Node's ECONNRESET
      // A status that the server sent has no cause; an error that the transport met on its way has.
      return error.cause instanceof Error;
    case Code.Canceled:
      // Over HTTP/2, Node says so of calls whose connection went away. The caller has not left.
      return signal?.aborted !== true;
    default:
      return false;
  }
}
