import type { TestContext } from "node:test";
import { sql } from "kysely";
import { type AccessTokens, createAccessTokens } from "../../src/auth/access-token.ts";
import { type SigningKeyTimes, toSigningKeyTimes } from "../../src/auth/signing-key.ts";
import { openSigningKeyRing, type SigningKeyRing } from "../../src/auth/signing-key-ring.ts";
import { createSigningKeyStore, type SigningKeyStore } from "../../src/auth/signing-key-store.ts";
import { openTokenService, type TokenService, type TokenSettings } from "../../src/auth/token.service.ts";
import { createSecretBox } from "../../src/platform/secret-box.ts";
import type { Database } from "../../src/schema.ts";
import type { AccountService } from "../../src/users/account.service.ts";
import type { Account } from "../../src/users/account.ts";
import { cleanUpAfter } from "./clean-up.ts";
import {
  type EventSystem,
  type EventSystemOptions,
  openLog,
  openProcess,
  testLogger,
} from "./event-system.ts";
import type { ReadyDatabase } from "./shared-database.ts";

/** The accounts and tokens of one process, without its port. */
export interface TokenSystem extends EventSystem {
  readonly store: SigningKeyStore;
  readonly keys: SigningKeyRing;
  readonly accessTokens: AccessTokens;
  readonly tokens: TokenService;
}

/** What a test may choose. */
export interface TokenSystemOptions extends EventSystemOptions {
  readonly clock?: TestClock;
  readonly pollIntervalMs?: number;
  readonly keyPollIntervalMs?: number;
  readonly times?: Partial<SigningKeyTimes>;
  readonly keyEncryptionKeys?: readonly Uint8Array[];
}

/** A clock that a test sets; Unix milliseconds. */
export interface TestClock {
  ms: number;
}

/** What all systems of these tests issue and accept. */
export const tokenSettings: TokenSettings = {
  issuer: "https://users.example.com",
  audience: "example",
  accessTtlMs: 3_600_000,
  refreshTtlMs: 7 * 24 * 3_600_000,
};

/** The key-encryption key of all systems that are given no other. */
export const testEncryptionKey = Buffer.alloc(32, 7);

/** A store over the database's signing keys, as a process of its own would have it. */
export function createTestStore(database: Database, options: TokenSystemOptions = {}): SigningKeyStore {
  const times = { ...toSigningKeyTimes({ ...tokenSettings, keyRotationMs: 30 * 24 * 3_600_000 }) };
  return createSigningKeyStore(database, createSecretBox(options.keyEncryptionKeys ?? [testEncryptionKey]), {
    ...times,
    ...options.times,
  });
}

/** Opens what a process has: on PostgreSQL with connections and notifications of its own. */
export async function openTokenSystem(
  t: TestContext,
  ready: ReadyDatabase,
  options: TokenSystemOptions = {},
): Promise<TokenSystem> {
  const system =
    ready.config.kind === "postgres"
      ? await openProcess(t, ready.config, options)
      : await openLog(t, ready.database, options);
  const now = (): number => options.clock?.ms ?? Date.now();
  const store = createTestStore(system.database, options);
  const keys = await openSigningKeyRing(store, testLogger, {
    now,
    pollIntervalMs: options.keyPollIntervalMs ?? 2 ** 31 - 1,
  });
  cleanUpAfter(t, keys.close);
  const { database, tailer, accounts } = system;
  const dependencies = { database, tailer, accounts, keys, settings: tokenSettings, logger: testLogger, now };
  const tokens = openTokenService(dependencies);
  cleanUpAfter(t, tokens.close);
  return { ...system, store, keys, accessTokens: createAccessTokens(keys, tokenSettings, now), tokens };
}

let made = 0;

/** Creates an active account of its own. */
export function createTestAccount(accounts: AccountService): Promise<Account> {
  made += 1;
  return accounts.create({
    email: `account${made}@example.com`,
    fullName: "",
    isActive: true,
    isSuperuser: false,
    passwordHash: "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$hash",
  });
}

/** Leaves no signing keys. */
export async function removeSigningKeys(database: Database): Promise<void> {
  await sql`truncate signing_keys`.execute(database);
}
