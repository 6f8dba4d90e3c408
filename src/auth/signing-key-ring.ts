import { setTimeout as delay } from "node:timers/promises";
import type { CryptoKey } from "jose";
import { importJWK } from "jose/key/import";
import { runDetached } from "../platform/current-work.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import type { Logger } from "../platform/logger.ts";
import { describeUnopened, KeyEncryptionKeyError, NoSigningKeyError } from "./signing-key.errors.ts";
import type { StoredSigningKey } from "./signing-key.repository.ts";
import { findSigner, findSigners, isRetired, type PublicJwk, type SigningKeyRecord } from "./signing-key.ts";
import type { SigningKeyStore } from "./signing-key-store.ts";

/** The key that signs now. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
}

/** The keys in memory, which follow those in the database. */
export interface SigningKeyRing {
  /** @throws NoSigningKeyError where the process can open none of them */
  signer(): SigningKey;
  /** The key to verify with; undefined where there is no such key, or it has retired. */
  find(kid: string): CryptoKey | undefined;
  /**
   * Reads the keys because a token names one that is not there, at most once in a second: who comes again within it
   * gets the same answer.
   *
   * @throws the database's error
   */
  lookAgain(): Promise<void>;
  /** What verifiers may know: the keys that have not retired, also those that will sign. */
  published(): readonly PublicJwk[];
  close(): Promise<void>;
}

/** What a ring can be told. */
export interface SigningKeyRingOptions {
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** It looks for changes, and whether it is time to rotate, this often. */
  readonly pollIntervalMs?: number;
}

/** Garbage costs at most one query in this time. */
const lookAgainIntervalMs = 1_000;

interface KnownKey extends SigningKeyRecord {
  readonly publicKey: CryptoKey;
  /** Undefined where it is not needed, or cannot be opened. */
  readonly privateKey: CryptoKey | undefined;
}

/**
 * Reads the keys, makes the first one where there is none, and keeps up with what other processes do to them.
 *
 * @throws KeyEncryptionKeyError where a key that signs, or will, cannot be opened; the database's error
 */
export async function openSigningKeyRing(
  store: SigningKeyStore,
  logger: Logger,
  { now = Date.now, pollIntervalMs = 5_000 }: SigningKeyRingOptions = {},
): Promise<SigningKeyRing> {
  const closing = new AbortController();
  const unopened = new Set<string>();
  /** Before, whoever opens it is told by an error. */
  let isOpen = false;
  let keys = new Map<string, KnownKey>();
  let reading: Promise<void> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looked: Promise<void> = Promise.resolve();

  /** One after the other, so that what was read last counts. Also for whoever comes after the one who asks first. */
  function reload(read: () => Promise<StoredSigningKey[]>): Promise<void> {
    reading = (reading ?? Promise.resolve()).catch(() => {}).then(() => runDetached(() => load(read)));
    return reading;
  }

  async function load(read: () => Promise<StoredSigningKey[]>): Promise<void> {
    const stored = await read();
    const signers = new Set(findSigners(stored, now()).map((key) => key.kid));
    const loaded = await Promise.all(stored.map((key) => toKnownKey(key, signers.has(key.kid))));
    keys = new Map(loaded.map((key) => [key.kid, key]));
  }

  async function toKnownKey(stored: StoredSigningKey, signs: boolean): Promise<KnownKey> {
    const { sealedPrivateKey, ...record } = stored;
    const known = keys.get(stored.kid);
    const publicKey = known?.publicKey ?? (await importJWK({ ...stored.publicJwk }, "EdDSA"));
    // One that signed before still can, should this process not be able to open the next.
    const privateKey = known?.privateKey ?? (signs ? await unseal(stored) : undefined);
    return { ...record, publicKey, privateKey };
  }

  async function unseal(stored: StoredSigningKey): Promise<CryptoKey | undefined> {
    const privateKey = await store.unseal(stored);
    if (privateKey === undefined && !unopened.has(stored.kid)) {
      unopened.add(stored.kid);
      if (isOpen) logger.error({ kid: stored.kid }, "no key-encryption key opens this signing key");
    }
    return privateKey;
  }

  const rotateAndReload = () => reload(() => store.rotateIfDue(now()));

  async function poll(): Promise<void> {
    for (let failed = false; ; ) {
      await delay(pollIntervalMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
      if (closing.signal.aborted) return;
      // Nobody waits for it, so that nobody else would notice a connection that has gone silent under it.
      await reload(() => withDatabaseDeadline(() => store.rotateIfDue(now()))).then(
        () => {
          failed = false;
        },
        (error) => {
          if (!failed) logger.warn({ err: error }, "the signing keys cannot be read; the known ones stay");
          failed = true;
        },
      );
    }
  }

  await rotateAndReload();
  if (unopened.size > 0) {
    throw new KeyEncryptionKeyError(describeUnopened([...unopened]));
  }
  isOpen = true;
  const polling = poll();

  return {
    signer() {
      const openable = [...keys.values()].filter((key) => key.privateKey !== undefined);
      const signer = findSigner(openable, now());
      if (signer?.privateKey === undefined) {
        throw new NoSigningKeyError({ cause: new Error(describeUnopened([...keys.keys()])) });
      }
      return { kid: signer.kid, privateKey: signer.privateKey };
    },
    find(kid) {
      const key = keys.get(kid);
      return key === undefined || isRetired(key, now()) ? undefined : key.publicKey;
    },
    lookAgain() {
      if (performance.now() - lookedAt > lookAgainIntervalMs) {
        lookedAt = performance.now();
        looked = reload(store.read);
      }
      return looked;
    },
    published: () => [...keys.values()].filter((key) => !isRetired(key, now())).map((key) => key.publicJwk),
    async close() {
      closing.abort();
      await polling;
      await reading?.catch(() => {});
    },
  };
}
