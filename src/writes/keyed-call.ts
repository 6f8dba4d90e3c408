import { createHash, hkdfSync } from "node:crypto";
import { createSecretBox, type SecretBox, secretBoxKeyBytes } from "../platform/secret-box.ts";
import { IdempotencyKeyReusedError } from "./idempotency.errors.ts";
import type { IdempotencyKey } from "./idempotency-key.ts";
import type { KeptAnswer } from "./write-record.ts";

const macBytes = 32;

/**
 * A call with an idempotency key.
 *
 * HKDF-SHA-256 (RFC 5869) makes of the key and the request what tells the request apart, and the key of AES-256-GCM
 * that its answer is sealed under. Whoever steals the database has neither; a key that can be guessed can be tried,
 * though, so that callers are told to make theirs random.
 */
export class KeyedCall {
  readonly keyHash: Buffer;
  readonly #requestMac: Buffer;
  readonly #box: SecretBox;

  /** @param request the bytes of its message, the same in each repetition */
  constructor(key: IdempotencyKey, procedure: string, request: Uint8Array) {
    const requestHash = createHash("sha256").update(`${procedure}\0`).update(request).digest();
    const length = macBytes + secretBoxKeyBytes;
    const secrets = Buffer.from(hkdfSync("sha256", key.text, requestHash, "user-bridge idempotency", length));
    this.keyHash = key.hash;
    this.#requestMac = secrets.subarray(0, macBytes);
    this.#box = createSecretBox([secrets.subarray(macBytes)]);
  }

  /** The answer as it is to be kept. */
  keep(answer: Uint8Array): KeptAnswer {
    return {
      keyHash: this.keyHash,
      requestMac: this.#requestMac,
      sealedAnswer: this.#box.seal(answer, this.#context),
    };
  }

  /** Reads an answer that was kept under its key. @throws IdempotencyKeyReusedError where it is of another request */
  read({ requestMac, sealedAnswer }: Pick<KeptAnswer, "requestMac" | "sealedAnswer">): Uint8Array {
    if (!requestMac.equals(this.#requestMac)) {
      throw new IdempotencyKeyReusedError();
    }
    const answer = this.#box.open(sealedAnswer, this.#context);
    if (answer === undefined) {
      throw new Error("a kept answer has been altered: it does not open under its own key");
    }
    return answer;
  }

  /** Whose answer it is: the same key's text may be somebody else's, too. */
  get #context(): string {
    return this.keyHash.toString("base64");
  }
}
