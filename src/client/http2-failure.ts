import { Code, ConnectError } from "@connectrpc/connect";
import { toCallError } from "./connection-failure.ts";

/** What Node says of a connection that ended under a call. */
const sessionFailures = new Set([
  "ERR_HTTP2_ERROR",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "EPIPE",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** RFC 9113, section 8.7: the server has done nothing with the request. */
const refusal = /NGHTTP2_REFUSED_STREAM/;

/** What connect-es says of an answer that ended in the middle. */
const truncation =
  /^protocol error: (?:missing (?:status|trailer|EndStreamResponse)|incomplete envelope|promised \d+ bytes)/;

/**
 * A failed HTTP/2 call's error, as {@link toCallError} has it, with UNAVAILABLE also for what connect-node calls
 * INTERNAL or worse although it only means that the server went away before or while it answered.
 */
export function toHttp2CallError(failure: unknown, signal: AbortSignal | undefined): ConnectError {
  const error = toCallError(failure, signal);
  // A status that the server sent is the server's word.
  if (error.isWireError || !(wasRefused(error) || isSessionFailure(error) || isTruncated(error))) {
    return error;
  }
  const text = `the connection failed: ${error.rawMessage}`;
  return new ConnectError(text, Code.Unavailable, error.metadata, undefined, error.cause ?? error);
}

/** Whether the server has certainly not begun with the call, whose error this is. */
export function wasRefused({ cause }: ConnectError): boolean {
  return (
    cause instanceof Error && readNodeCode(cause) === "ERR_HTTP2_STREAM_ERROR" && refusal.test(cause.message)
  );
}

function isSessionFailure({ cause }: ConnectError): boolean {
  return sessionFailures.has(readNodeCode(cause));
}

function isTruncated({ rawMessage }: ConnectError): boolean {
  return truncation.test(rawMessage);
}

function readNodeCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
