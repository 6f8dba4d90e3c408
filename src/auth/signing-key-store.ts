import type { CryptoKey } from "jose";
import { calculateJwkThumbprint } from "jose/jwk/thumbprint";
import { exportJWK, exportPKCS8 } from "jose/key/export";
import { generateKeyPair } from "jose/key/generate/keypair";
import { importPKCS8 } from "jose/key/import";
import type { SecretBox } from "../platform/secret-box.ts";
import { inTransaction } from "../platform/transaction.ts";
import type { Database, Transaction } from "../schema.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import { describeUnopened, KeyEncryptionKeyError } from "./signing-key.errors.ts";
import {
  deleteKeysRetiredBefore,
  insertSigningKey,
  lockSigningKeys,
  readSigningKeys,
  retireOtherKeys,
  type StoredSigningKey,
} from "./signing-key.repository.ts";
import {
  findSigner,
  isRetired,
  isRotationDue,
  retirementAfter,
  type SigningKeyTimes,
} from "./signing-key.ts";

/** How long a retired key can still be listed. */
const keptAfterRetirementMs = 24 * 3_600_000;

/** The keys in the database, and the one way in which they change. Times are Unix milliseconds. */
export interface SigningKeyStore {
  /** All keys, also retired ones. */
  read(): Promise<StoredSigningKey[]>;
  /**
   * Makes the next key where it is time for it, or the first one. Of several processes that call at once, one does
   * it. Also deletes what has long retired.
   *
   * @returns all keys as they are then
   */
  rotateIfDue(nowMs: number): Promise<StoredSigningKey[]>;
  /**
   * Makes the next key.
   *
   * @param atOnce the new key signs now and all others retire now; otherwise it is published first and the others
   * stay good for as long as the tokens that they sign
   */
  rotate(nowMs: number, atOnce: boolean, caller?: WriteCaller<StoredSigningKey>): Promise<StoredSigningKey>;
  /** A key's secret; undefined where no key-encryption key fits. */
  unseal(key: StoredSigningKey): Promise<CryptoKey | undefined>;
}

/** Creates the store. */
export function createSigningKeyStore(
  database: Database,
  box: SecretBox,
  times: SigningKeyTimes,
): SigningKeyStore {
  /** Adds a key to those that there are, in a transaction that has them for itself. */
  async function add(transaction: Transaction, nowMs: number, atOnce: boolean): Promise<StoredSigningKey> {
    const present = await readSigningKeys(transaction);
    // Nobody can have kept an old key set where there has been no good key.
    const isFirst = present.every((key) => isRetired(key, nowMs));
    const signsFromMs = atOnce || isFirst ? nowMs : nowMs + times.leadMs;
    const key = await createKey(box, nowMs, signsFromMs);
    await insertSigningKey(transaction, key);
    await retireOtherKeys(transaction, key.kid, atOnce ? nowMs : retirementAfter(signsFromMs, times));
    return key;
  }

  return {
    read: () => readSigningKeys(database),
    async rotateIfDue(nowMs) {
      const present = await readSigningKeys(database);
      const deleteBeforeMs = nowMs - keptAfterRetirementMs;
      if (present.some((key) => isRetired(key, deleteBeforeMs))) {
        await deleteKeysRetiredBefore(database, deleteBeforeMs);
      }
      if (!isRotationDue(present, times, nowMs)) {
        return present;
      }
      await inTransaction(database, async (transaction) => {
        await lockSigningKeys(transaction);
        // Somebody else may have done it while we waited.
        if (isRotationDue(await readSigningKeys(transaction), times, nowMs)) {
          await add(transaction, nowMs, false);
        }
      });
      return readSigningKeys(database);
    },
    rotate: (nowMs, atOnce, caller) => {
      const replace = async (transaction: Transaction): Promise<StoredSigningKey> => {
        await lockSigningKeys(transaction);
        const signer = findSigner(await readSigningKeys(transaction), nowMs);
        // The servers have another key-encryption key, then, and could not open what is made here.
        if (
          !atOnce &&
          signer !== undefined &&
          box.open(signer.sealedPrivateKey, sealingContext(signer.kid)) === undefined
        ) {
          throw new KeyEncryptionKeyError(describeUnopened([signer.kid]));
        }
        return add(transaction, nowMs, atOnce);
      };
      return inWriteTransaction(database, replace, caller);
    },
    async unseal({ kid, sealedPrivateKey }) {
      const pkcs8 = box.open(sealedPrivateKey, sealingContext(kid));
      return pkcs8 === undefined ? undefined : importPKCS8(pkcs8.toString(), "EdDSA");
    },
  };
}

async function createKey(box: SecretBox, nowMs: number, signsFromMs: number): Promise<StoredSigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const { x = "" } = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(publicKey);
  return {
    kid,
    publicJwk: { kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig", kid, x },
    sealedPrivateKey: box.seal(Buffer.from(await exportPKCS8(privateKey)), sealingContext(kid)),
    createdAtMs: nowMs,
    signsFromMs,
    retiresAtMs: undefined,
  };
}

/** A secret opens only in its own row: whoever can write the table cannot put one key's in another's place. */
function sealingContext(kid: string): string {
  return `user-bridge signing key ${kid}`;
}
