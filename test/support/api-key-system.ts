import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { type AccessWatch, createAccessWatch } from "../../src/access/access-watch.ts";
import { type ApiKeyService, createApiKeyService } from "../../src/api-keys/api-key.service.ts";
import {
  type ApiKeyAuthenticator,
  type AuthenticatedKey,
  createApiKeyAuthenticator,
} from "../../src/api-keys/api-key-authenticator.ts";
import { openDatabase } from "../../src/platform/database.ts";
import type { Database, Schema } from "../../src/schema.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { createDatabaseGate, type DatabaseGate } from "./database-gate.ts";
import { testLogger } from "./event-system.ts";
import type { ReadyDatabase } from "./shared-database.ts";

/** The API keys of one process, without its port. */
export interface ApiKeySystem {
  readonly database: Database;
  readonly keys: ApiKeyService;
  readonly watch: AccessWatch;
  readonly authenticator: ApiKeyAuthenticator;
  /** Before the authenticator's own statements, and no others. */
  readonly lookups: DatabaseGate;
  /** Before the watch's. */
  readonly reads: DatabaseGate;
}

/** What a test may choose. */
export interface ApiKeySystemOptions {
  /** Unix milliseconds. */
  readonly now?: () => number;
  readonly writeUsesAfterMs?: number;
  readonly capacity?: number;
  readonly idleMs?: number;
  /** In place of the real one, which takes its time. */
  readonly watch?: Pick<AccessWatch, "current">;
}

/** Opens what a process has: on PostgreSQL with connections of its own. */
export async function openApiKeySystem(
  t: TestContext,
  { config, database: shared }: ReadyDatabase,
  { now = Date.now, idleMs, watch: given, ...options }: ApiKeySystemOptions = {},
): Promise<ApiKeySystem> {
  const database = config.kind === "postgres" ? await openOwn(t, config) : shared;
  const [lookups, reads] = [createDatabaseGate(), createDatabaseGate()];
  const watch = createAccessWatch({
    database: database.withPlugin(reads.plugin),
    logger: testLogger,
    ...(idleMs !== undefined && { idleMs }),
  });
  cleanUpAfter(t, watch.close);
  const authenticator = createApiKeyAuthenticator({
    database: database.withPlugin(lookups.plugin),
    watch: given ?? watch,
    logger: testLogger,
    now,
    ...options,
  });
  cleanUpAfter(t, authenticator.close);
  cleanUpAfter(t, () => {
    lookups.open();
    reads.open();
  });
  const keys = createApiKeyService(database, () => new Date(now()));
  return { database, keys, watch, authenticator, lookups, reads };
}

async function openOwn(t: TestContext, config: ReadyDatabase["config"]): Promise<Database> {
  const opened = await openDatabase<Schema>(config, testLogger);
  cleanUpAfter(t, opened.close);
  return opened.queries;
}

/** Leaves no keys. */
export async function removeApiKeys(database: Database): Promise<void> {
  await sql`truncate api_keys`.execute(database);
}

/** A key for anything. */
export const anyKey = {
  name: "any",
  scopes: ["users:read"],
  timeToLiveMs: undefined,
  createdBy: "anonymous",
};

/** Authenticates until the answer comes from memory. */
export async function warm(
  { authenticate }: ApiKeyAuthenticator,
  secret: string,
): Promise<AuthenticatedKey | undefined> {
  for (;;) {
    const answer = authenticate(secret);
    if (!(answer instanceof Promise)) return answer;
    await answer;
    await setImmediate();
  }
}
