import type { CallerState } from "./batcher.ts";

/**
 * Nobody waits any more for what was to be asked or written, and nothing of it was kept: it was never sent, or the
 * database has cancelled it. Whoever knows a call gives it the reason for which its caller has left, instead.
 */
export class CallerLeftError extends Error {
  override readonly name = "CallerLeftError";

  constructor(options?: ErrorOptions) {
    super("nobody waits for this any more", options);
  }
}

/** What something has failed with, for one of its callers: the own reason of one who has left is what counts. */
export function toOwnReason(error: unknown, caller: CallerState | undefined): unknown {
  return error instanceof CallerLeftError && caller?.aborted === true ? caller.reason : error;
}

/**
 * Nobody waited any more, and the database said nothing, so its connection was given up: whether it has done what it
 * was asked to, or still will, is not known.
 */
export class AnswerGivenUpError extends Error {
  override readonly name = "AnswerGivenUpError";

  constructor(options?: ErrorOptions) {
    super("nobody waits for this any more, and what became of it is not known", options);
  }
}
