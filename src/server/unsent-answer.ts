import { Code, ConnectError } from "@connectrpc/connect";

/** What a call ends with that nobody waits for any more. */
export function callerIsGone(): ConnectError {
  return new ConnectError("the caller is gone", Code.Canceled);
}

/** What a call ends with whose answer HTTP does not allow. */
export function brokenAnswer(): ConnectError {
  return new ConnectError("the answer could not be sent", Code.Internal);
}

/** Whether writing has failed since nobody is there any more; not since what was to be written is wrong. */
export function isGone(reason: unknown): boolean {
  const code: unknown = (reason as { code?: unknown } | null | undefined)?.code;
  return (
    typeof code === "string" &&
    /^(?:E[A-Z]+|ERR_STREAM_\w+|ERR_HTTP2_(?:INVALID_STREAM|STREAM_\w+|SESSION_\w+|GOAWAY_SESSION))$/.test(
      code,
    )
  );
}
