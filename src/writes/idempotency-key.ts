import { hash } from "node:crypto";
import { InvalidIdempotencyKeyError } from "./idempotency.errors.ts";

/** The name of the metadata that it comes in. */
export const idempotencyKeyHeader = "idempotency-key";

const keyPattern = /^[\x21-\x7e]{1,255}$/;

/** Somebody's idempotency key. The keys of different callers are different, whatever their texts are. */
export interface IdempotencyKey {
  /** As the caller gave it. It is never stored. */
  readonly text: string;
  /** What is stored: says whose key it is and which, and gives away neither. */
  readonly hash: Buffer;
}

/** Reads a key as a caller gave it. @throws InvalidIdempotencyKeyError */
export function readIdempotencyKey(text: string, actor: string): IdempotencyKey {
  if (!keyPattern.test(text)) {
    throw new InvalidIdempotencyKeyError();
  }
  // The text has no NUL, so the two cannot run into each other.
  return { text, hash: hash("sha256", `${text}\0${actor}`, "buffer") };
}
