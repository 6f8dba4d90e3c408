import { DomainError } from "../platform/errors.ts";

/** The caller's idempotency key is none. */
export class InvalidIdempotencyKeyError extends DomainError {
  override readonly name = "InvalidIdempotencyKeyError";
  readonly kind = "invalid_argument";
  readonly reason = "IDEMPOTENCY_KEY_INVALID";

  constructor() {
    super("an idempotency-key is 1 to 255 visible ASCII characters, without spaces, and there is one a call");
  }
}

/** The caller has made another request with the same idempotency key. */
export class IdempotencyKeyReusedError extends DomainError {
  override readonly name = "IdempotencyKeyReusedError";
  readonly kind = "invalid_argument";
  readonly reason = "IDEMPOTENCY_KEY_REUSED";

  constructor() {
    super("this idempotency-key came with another request before; each request needs a key of its own");
  }
}

/** A write was not kept, because one with the same idempotency key had been. Its first answer is to be given. */
export class AnswerKeptError extends Error {
  override readonly name = "AnswerKeptError";
}

/** The failure as the protocol knows it: a key that is there already becomes {@link AnswerKeptError}. */
export function isAnswerKept(error: unknown): boolean {
  return (
    error instanceof AnswerKeptError ||
    (error instanceof Error && "constraint" in error && error.constraint === "idempotency_keys_pkey")
  );
}
