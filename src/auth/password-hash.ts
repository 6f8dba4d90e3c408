import { randomBytes } from "node:crypto";
import { parseOptions } from "@node-rs/argon2";

/** How much work a hash is. The defaults of the configuration are OWASP's (Password Storage Cheat Sheet). */
export interface PasswordCost {
  readonly memoryKib: number;
  readonly iterations: number;
  readonly parallelism: number;
}

/** Argon2id among the library's algorithms, whose enumeration the compiler cannot import. */
const argon2id = 2;
const saltBytes = 16;
const outputBytes = 32;

/**
 * A hash in the PHC string format that no password is known to have: it is made of random bytes, which costs
 * nothing. To compare a password with it is the same work as with a real one.
 */
export function createDummyHash({ memoryKib, iterations, parallelism }: PasswordCost): string {
  const [salt, output] = [saltBytes, outputBytes].map((length) =>
    randomBytes(length).toString("base64").replaceAll("=", ""),
  );
  return `$argon2id$v=19$m=${memoryKib},t=${iterations},p=${parallelism}$${salt}$${output}`;
}

/**
 * Whether a stored hash is cheaper to guess than one of that cost would be. Parallelism does not count: it shares
 * the same work among more threads.
 *
 * @throws Error where the hash is in no format that can be read
 */
export function isWeaker(hash: string, { memoryKib, iterations }: PasswordCost): boolean {
  const stored = parseOptions(hash);
  return (
    stored.algorithm !== argon2id ||
    !hash.startsWith("$argon2id$v=19$") ||
    stored.memoryCost < memoryKib ||
    stored.timeCost < iterations ||
    stored.saltLen < saltBytes ||
    stored.outputLen < outputBytes
  );
}
