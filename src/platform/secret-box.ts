import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

/** Encrypts what is kept at rest, so that whoever reads the database has nothing. */
export interface SecretBox {
  /**
   * Encrypts under the first key.
   *
   * @param context what the secret belongs to (the id of its row): it opens in no other context
   */
  seal(secret: Uint8Array, context: string): Buffer;
  /** Decrypts; undefined where no key fits, or the text was altered or sealed in another context. */
  open(sealed: Uint8Array, context: string): Buffer | undefined;
}

/** Bytes of a key of AES-256. */
export const secretBoxKeyBytes = 32;

const algorithm = "aes-256-gcm";
/** First byte of all that is sealed: the version of its form. */
const formatVersion = 0x01;
/** NIST SP 800-38D: 96 random bits are good for 2^32 messages a key, and for far more than there are here. */
const nonceBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + nonceBytes + tagBytes;

/**
 * Creates a box of AES-256-GCM. The first key encrypts, all decrypt: a new key is put in front of the old one.
 *
 * @throws TypeError where there is no key, or one is not of 32 bytes
 */
export function createSecretBox(keys: readonly Uint8Array[]): SecretBox {
  const [first] = keys;
  if (first === undefined || keys.some((key) => key.length !== secretBoxKeyBytes)) {
    throw new TypeError(`a secret box needs keys of ${secretBoxKeyBytes} bytes`);
  }
  return {
    seal(secret, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, first, nonce, { authTagLength: tagBytes });
      cipher.setAAD(Buffer.from(context));
      const text = Buffer.concat([cipher.update(secret), cipher.final()]);
      return Buffer.concat([Uint8Array.of(formatVersion), nonce, cipher.getAuthTag(), text]);
    },
    open(sealed, context) {
      if (sealed[0] !== formatVersion || sealed.length < headerBytes) {
        return undefined;
      }
      for (const key of keys) {
        const secret = openWith(key, sealed, context);
        if (secret !== undefined) return secret;
      }
      return undefined;
    },
  };
}

function openWith(key: Uint8Array, sealed: Uint8Array, context: string): Buffer | undefined {
  const nonce = sealed.subarray(1, 1 + nonceBytes);
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(sealed.subarray(1 + nonceBytes, headerBytes));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(headerBytes)), decipher.final()]);
  } catch {
    // The tag does not fit, and there is nothing else that can fail here.
    return undefined;
  }
}
