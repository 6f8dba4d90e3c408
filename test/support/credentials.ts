import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { mintApiKey } from "../../src/api-keys/api-key-text.ts";
import { createPasswordHasher } from "../../src/auth/password-hasher.ts";
import { createEventWriter } from "../../src/events/event-writer.ts";
import type { DatabaseConfig } from "../../src/platform/config.ts";
import { openDatabase } from "../../src/platform/database.ts";
import { migrate } from "../../src/platform/migrator.ts";
import type { Database, Schema } from "../../src/schema.ts";
import { createAccountService } from "../../src/users/account.service.ts";
import { createUserWriter } from "../../src/users/user-writer.ts";
import { testLogger } from "./event-system.ts";

/** An account that can log in. Its email is in its normal form. */
export interface TestAccount {
  readonly id: string;
  readonly email: string;
  readonly password: string;
}

/** An API key, with its text. */
export interface TestApiKey {
  readonly id: string;
  readonly secret: string;
}

/** Hashes that are cheap. */
const hasher = createPasswordHasher({ memoryKib: 1_024, iterations: 1, parallelism: 1, maxConcurrency: 2 });
const password = "correct horse battery";

/** Works on a test's database before any process serves it, brought up to date as a start does. */
export async function onDatabase<Result>(
  config: DatabaseConfig,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  const opened = await openDatabase<Schema>(config, testLogger);
  try {
    await migrate(opened.queries, testLogger);
    return await work(opened.queries);
  } finally {
    await opened.close();
  }
}

/** An account that may do everything. */
export function createSuperuser(database: Database): Promise<TestAccount> {
  return createAccount(database, true);
}

/** An account with exactly these permissions (beside the built-in `read`), by a role of its own. */
export async function createUser(
  database: Database,
  permissions: readonly string[] = [],
): Promise<TestAccount> {
  const account = await createAccount(database, false);
  if (permissions.length > 0) {
    const role = `r${account.id}`;
    await database.insertInto("roles").values({ name: role, description: "" }).execute();
    await database
      .insertInto("role_permissions")
      .values(permissions.map((permission) => ({ role, permission })))
      .execute();
    await database.insertInto("user_roles").values({ user_id: account.id, role }).execute();
  }
  return account;
}

/** An API key with exactly these scopes. */
export async function createApiKey(
  database: Database,
  scopes: readonly string[],
  expiresAt?: Date,
): Promise<TestApiKey> {
  const id = crypto.randomUUID();
  const { secret, hash, display } = mintApiKey();
  await sql`
    insert into api_keys (id, hash, display, name, scopes, created_at, created_by, expires_at)
    values (${id}, decode(${hash}, 'hex'), ${display}, 'test', ${JSON.stringify(scopes)}::jsonb, now(), 'command:test',
      ${expiresAt ?? null})`.execute(database);
  await sql`update access_head set revision = revision + 1`.execute(database);
  return { id, secret };
}

/** Logs an account in at a process that mounts auth. @returns the access token */
export async function logIn(
  url: string,
  account: Pick<TestAccount, "email" | "password">,
  nodeOptions: object = {},
): Promise<string> {
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1", nodeOptions });
  const { email, password: text } = account;
  return (await createClient(AuthService, transport).authenticate({ email, password: text })).accessToken;
}

async function createAccount(database: Database, isSuperuser: boolean): Promise<TestAccount> {
  const now = (): Date => new Date();
  const log = createEventWriter(database);
  const writer = createUserWriter(database, log, now);
  const accounts = createAccountService({ database, log, writer, now });
  const { id, email } = await accounts.create({
    email: `${crypto.randomUUID()}@example.com`,
    fullName: "Test",
    isActive: true,
    isSuperuser,
    passwordHash: await hasher.hash(password),
  });
  return { id, email, password };
}
