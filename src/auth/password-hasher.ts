import { hash, verify } from "@node-rs/argon2";
import { InvalidInputError } from "../platform/errors.ts";
import { findPasswordViolation, normalizePassword } from "./password.ts";
import { createDummyHash, isWeaker, type PasswordCost } from "./password-hash.ts";
import { createPasswordQueue, type QueueLimits, type QueueLoad } from "./password-queue.ts";

/** What a comparison has found. */
export interface PasswordCheck {
  readonly isMatch: boolean;
  /** Whether a hash made now would be stronger. */
  readonly needsRehash: boolean;
}

/** Hashes passwords, off the event loop and a few at a time. No error of it holds a password or a hash. */
export interface PasswordHasher {
  /**
   * A new hash, in the PHC string format, with a salt of its own.
   *
   * @throws InvalidInputError that names the field where the password breaks a rule; PasswordsBusyError; the
   * signal's reason where the caller has left before its turn
   */
  hash(
    password: string,
    options?: { readonly field?: string; readonly signal?: AbortSignal },
  ): Promise<string>;
  /**
   * Compares a password with a hash. Without one it does the same work and finds no match, so that who waits for
   * the answer cannot tell.
   *
   * @throws PasswordsBusyError; the signal's reason where the caller has left before its turn; Error where the hash
   * is none
   */
  verify(stored: string | undefined, password: string, signal?: AbortSignal): Promise<PasswordCheck>;
  readonly load: QueueLoad;
}

/** What a hasher is told. */
export interface PasswordHasherOptions extends PasswordCost {
  /** Hashes at once: each takes a thread of Node's pool of four, and `memoryKib` of memory. */
  readonly maxConcurrency: number;
  /** Hashes that may wait for their turn; by default as many as take some seconds. */
  readonly maxWaiting?: number;
}

/** A hash of OWASP's parameters takes about 20 ms; who has waited for more than some seconds has left. */
const waitingPerThread = 100;

/** Creates a hasher. Argon2id, version 1.3 (RFC 9106). */
export function createPasswordHasher(options: PasswordHasherOptions): PasswordHasher {
  const { memoryKib, iterations, parallelism, maxConcurrency } = options;
  const limits: QueueLimits = {
    maxConcurrency,
    maxWaiting: options.maxWaiting ?? maxConcurrency * waitingPerThread,
  };
  const queue = createPasswordQueue(limits);
  const dummy = createDummyHash(options);
  const parameters = { memoryCost: memoryKib, timeCost: iterations, parallelism };

  return {
    load: queue.load,
    async hash(password, { field = "password", signal } = {}) {
      const violation = findPasswordViolation(password, field);
      if (violation !== undefined) {
        throw new InvalidInputError([violation]);
      }
      return queue.run(() => hash(toBytes(password), parameters), signal);
    },
    async verify(stored, password, signal) {
      const isMatch = await queue.run(() => compare(stored ?? dummy, password), signal);
      return {
        isMatch: isMatch && stored !== undefined,
        needsRehash: isMatch && stored !== undefined && isWeaker(stored, options),
      };
    },
  };
}

async function compare(stored: string, password: string): Promise<boolean> {
  try {
    return await verify(stored, toBytes(password));
  } catch {
    // The library's own error may one day quote what it could not read.
    throw new Error("a stored password hash cannot be read");
  }
}

/** With their length, so that a NUL ends nothing. */
function toBytes(password: string): Buffer {
  return Buffer.from(normalizePassword(password));
}
