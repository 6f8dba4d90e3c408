import { createAccessTokens } from "../auth/access-token.ts";
import { type SigningKeyRecord, toSigningKeyTimes } from "../auth/signing-key.ts";
import { openSigningKeyBox } from "../auth/signing-key-encryption.ts";
import { openSigningKeyRing } from "../auth/signing-key-ring.ts";
import { createSigningKeyStore, type SigningKeyStore } from "../auth/signing-key-store.ts";
import type { Config } from "../platform/config.ts";
import { createLogger, type Logger } from "../platform/logger.ts";
import { readConfig } from "../platform/read-config.ts";
import { commandCaller } from "../writes/command-caller.ts";
import { openMigratedDatabase } from "./migrated-database.ts";

/** All signing keys in the database. @throws as `serve` does at its start */
export function listSigningKeys(variables: NodeJS.ProcessEnv): Promise<readonly SigningKeyRecord[]> {
  return withStore(variables, ({ store }) => store.read());
}

/** Makes a new signing key, and an entry in the audit log. @throws as `serve` does at its start */
export function rotateSigningKeys(variables: NodeJS.ProcessEnv, atOnce: boolean): Promise<SigningKeyRecord> {
  // Whoever reads the audit log should see whether tokens have ended.
  const command = atOnce ? "keys rotate --now" : "keys rotate";
  return withStore(variables, ({ store }) =>
    store.rotate(
      Date.now(),
      atOnce,
      commandCaller(command, ({ kid }) => kid),
    ),
  );
}

/** A service token for a machine, signed by the key that signs now. @throws as `serve` does at its start */
export function issueServiceToken(variables: NodeJS.ProcessEnv, name: string): Promise<string> {
  return withStore(variables, async ({ store, config, logger }) => {
    const keys = await openSigningKeyRing(store, logger);
    try {
      return await createAccessTokens(keys, config.tokens).issueForService(name);
    } finally {
      await keys.close();
    }
  });
}

interface OpenStore {
  readonly store: SigningKeyStore;
  readonly config: Config;
  readonly logger: Logger;
}

async function withStore<Result>(
  variables: NodeJS.ProcessEnv,
  work: (open: OpenStore) => Promise<Result>,
): Promise<Result> {
  const config = readConfig(variables, "command");
  const logger = createLogger(config);
  const database = await openMigratedDatabase(config, logger);
  try {
    const box = await openSigningKeyBox(config.tokens);
    const times = toSigningKeyTimes(config.tokens);
    return await work({ store: createSigningKeyStore(database.queries, box, times), config, logger });
  } finally {
    await database.close();
  }
}
