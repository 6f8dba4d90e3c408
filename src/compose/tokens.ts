import { toSigningKeyTimes } from "../auth/signing-key.ts";
import { openSigningKeyBox } from "../auth/signing-key-encryption.ts";
import { openSigningKeyRing, type SigningKeyRing } from "../auth/signing-key-ring.ts";
import { createSigningKeyStore } from "../auth/signing-key-store.ts";
import { openTokenService, type TokenService } from "../auth/token.service.ts";
import type { Core } from "./core.ts";

/** What it takes to give tokens and to check them. */
export interface Tokens {
  readonly keys: SigningKeyRing;
  readonly tokens: TokenService;
}

/**
 * Builds signing keys and tokens, in order: for a process that mounts auth, and for one that asks who calls.
 *
 * @throws KeyEncryptionKeyError, the database's error
 */
export async function openTokens(core: Core): Promise<Tokens> {
  const { config, logger, closing, database, tailer, accounts } = core;
  const settings = config.tokens;
  const box = await openSigningKeyBox(settings);
  if (config.database.kind === "postgres" && settings.keyEncryptionKeys === undefined) {
    logger.warn(
      `KEY_ENCRYPTION_KEY is not set: ${settings.keyFile} encrypts the signing keys, and every process of this database needs it, also the next one started here`,
    );
  }
  const store = createSigningKeyStore(database, box, toSigningKeyTimes(settings));
  const keys = await openSigningKeyRing(store, logger);
  closing.push("signing keys", () => keys.close());
  const tokens = openTokenService({ database, tailer, accounts, keys, settings, logger });
  closing.push("tokens", () => tokens.close());
  return { keys, tokens };
}
