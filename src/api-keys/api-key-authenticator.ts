import type { AccessWatch } from "../access/access-watch.ts";
import { createBatchLoader } from "../platform/batch-loader.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { ApiKeyMemory } from "./api-key-memory.ts";
import { hasApiKeyForm, hashApiKey, isApiKey } from "./api-key-text.ts";
import { findUsableKeys } from "./api-key-use.repository.ts";
import { createLastUses } from "./last-use.ts";

/** A key that is good right now. */
export interface AuthenticatedKey {
  readonly id: string;
  /** The key's first characters: what may be shown. */
  readonly display: string;
  readonly scopes: ReadonlySet<string>;
  /** Unix milliseconds; undefined: it does not end by itself. */
  readonly expiresAtMs: number | undefined;
}

/** Tells good keys from everything else. */
export interface ApiKeyAuthenticator {
  /**
   * The good key behind a text; undefined where it is none, for whatever reason. At once where all that it takes is
   * in memory, and for a text that cannot be a key. Counts as a use of the key.
   *
   * @throws the database's error, DatabaseUnavailableError
   */
  authenticate(text: string): AuthenticatedKey | undefined | Promise<AuthenticatedKey | undefined>;
  /** Writes down what is not yet written of when keys were used. */
  close(): Promise<void>;
}

/** What an authenticator is made of. */
export interface ApiKeyAuthenticatorDependencies {
  readonly database: Database;
  readonly watch: Pick<AccessWatch, "current">;
  readonly logger: Logger;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** How many keys are kept, and how many hashes of which there is no key. */
  readonly capacity?: number;
  /** See {@link createLastUses}. */
  readonly writeUsesAfterMs?: number;
}

/** As for the look-ups of users: docs/decisions/0006-coalescing.md. */
const lookupBounds = { maxBatchSize: 500, maxInFlight: 2 };

/** What a look-up finds; there is no key where nobody has one of that hash, or it is revoked. */
interface Found {
  readonly key: AuthenticatedKey | undefined;
}

/**
 * Creates an authenticator. What is in memory is believed as long as the watch has confirmed within a second that no
 * key has changed since it was loaded; beyond that, the database is asked, by one query for all who ask at once. Whether
 * a key has expired is judged by the clock, each time.
 */
export function createApiKeyAuthenticator(
  dependencies: ApiKeyAuthenticatorDependencies,
): ApiKeyAuthenticator {
  const { database, watch, logger, now = Date.now, capacity = 50_000, writeUsesAfterMs } = dependencies;
  const memory = new ApiKeyMemory(capacity);
  const uses = createLastUses({
    database,
    logger,
    ...(writeUsesAfterMs !== undefined && { writeAfterMs: writeUsesAfterMs }),
  });
  const look = createBatchLoader<string, Found>({
    ...lookupBounds,
    missing: () => new Error("a look-up has left out a hash"),
    async load(hashes) {
      const found = await withDatabaseDeadline(() => findUsableKeys(database, hashes));
      return new Map(hashes.map((hash) => [hash, { key: found.get(hash) }]));
    },
  });

  function judge(key: AuthenticatedKey): AuthenticatedKey | undefined {
    const nowMs = now();
    if (key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs) return undefined;
    uses.note(key.id, nowMs);
    return key;
  }

  async function load(hash: string, before: bigint | undefined): Promise<AuthenticatedKey | undefined> {
    // A deadline of its own: it may have to wait for a batch that is frozen.
    const { key } = await withDatabaseDeadline(() => look(hash));
    memory.keep(hash, key, before, watch.current());
    return key && judge(key);
  }

  return {
    authenticate(text) {
      if (!hasApiKeyForm(text)) return undefined;
      const revision = watch.current();
      const hash = hashApiKey(text);
      const known = memory.find(hash, revision);
      if (known === "none") return undefined;
      if (known !== undefined) return judge(known);
      // Only now: of what is known, the checksum was right.
      return isApiKey(text) ? load(hash, revision) : undefined;
    },
    close: () => uses.close(),
  };
}
