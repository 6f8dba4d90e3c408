import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { sql } from "kysely";
import { startApp } from "../../src/app.ts";
import type { Config, DatabaseConfig } from "../../src/platform/config.ts";
import { createLogger } from "../../src/platform/logger.ts";
import { policy } from "../../src/policy.ts";
import type { Database } from "../../src/schema.ts";
import { cleanUpAfter } from "./clean-up.ts";
import {
  createApiKey,
  createSuperuser,
  createUser,
  logIn,
  onDatabase,
  type TestAccount,
  type TestApiKey,
} from "./credentials.ts";
import type { Backend } from "./databases.ts";
import { testConfig } from "./test-app.ts";

/** The whole program with AUTH=on, and a database that notes which transaction wrote what. */
export interface AuditedApp {
  readonly url: string;
  readonly superuser: TestAccount;
  /** The superuser's. */
  readonly token: string;
  /** A user without permissions. */
  readonly user: TestAccount;
  readonly userToken: string;
  /** Has every permission that the policy knows. */
  readonly apiKey: TestApiKey;
  /** Ends the program, and looks at what it has left. */
  inspect<Result>(look: (database: Database) => Promise<Result>): Promise<Result>;
}

/** What is written by the calls themselves; counts of failed logins and the search's index are not. */
const writtenTables = [
  "users",
  "user_passwords",
  "user_events",
  "refresh_token_families",
  "refresh_tokens",
  "roles",
  "role_permissions",
  "user_roles",
  "user_profiles",
  "user_preferences",
  "user_activities",
  "api_keys",
] as const;

/** A write whose request id begins like this is broken off by the database itself, at the commit. */
export const sabotage = "sabotage-";

/** Starts it, until the test ends. */
export async function startAuditedApp(
  t: TestContext,
  backend: Backend,
  overrides: Partial<Config> = {},
): Promise<AuditedApp> {
  const created = await backend.create();
  cleanUpAfter(t, created.drop);
  const prepared = await onDatabase(created.config, prepare);
  const config = testConfig({ database: created.config, auth: "on", ...overrides });
  const app = await startApp(config, createLogger(config));
  cleanUpAfter(t, app.close);
  return {
    ...prepared,
    url: app.url,
    token: await logIn(app.url, prepared.superuser),
    userToken: await logIn(app.url, prepared.user),
    async inspect(look) {
      await app.close();
      return onDatabase(created.config as DatabaseConfig, look);
    },
  };
}

async function prepare(database: Database) {
  const permissions = [...policy.values()].flatMap((rule) =>
    rule.kind === "permission" ? rule.permission : [],
  );
  const superuser = await createSuperuser(database);
  const user = await createUser(database);
  const apiKey = await createApiKey(database, [
    ...new Set([...permissions, "accounts:admin", "posts:write"]),
  ]);
  await noteWrites(database);
  return { superuser, user, apiKey };
}

/** Lets the database note the transaction of each write, and break off those that it is told to. */
async function noteWrites(database: Database): Promise<void> {
  await sql`create table noted_writes (transaction xid8, table_name text)`.execute(database);
  await sql`create table noted_entries (transaction xid8, request_id text)`.execute(database);
  await sql`
    create function note_write() returns trigger language plpgsql as $$
    begin
      insert into noted_writes values (pg_current_xact_id(), tg_table_name);
      return null;
    end $$`.execute(database);
  await sql`
    create function note_entry() returns trigger language plpgsql as $$
    begin
      insert into noted_entries values (pg_current_xact_id(), new.request_id);
      return null;
    end $$`.execute(database);
  await sql`
    create function break_off() returns trigger language plpgsql as $$
    begin
      if new.request_id like 'sabotage-%' and new.outcome = 'OK' then raise exception 'broken off'; end if;
      return null;
    end $$`.execute(database);
  for (const table of [...writtenTables, "idempotency_keys"]) {
    // When a key was last used is written from time to time, by nobody.
    const columns = sql.raw(table === "api_keys" ? "of expires_at, revoked_at" : "");
    await sql`
      create trigger note_write after insert or update ${columns} or delete on ${sql.ref(table)}
      for each row execute function note_write()`.execute(database);
  }
  await sql`
    create trigger note_entry after insert on audit_log for each row execute function note_entry()`.execute(
    database,
  );
  await sql`
    create constraint trigger break_off after insert on audit_log
    deferrable initially deferred for each row execute function break_off()`.execute(database);
}

/** Which tables each transaction has written, and the request ids of its entries. */
export async function readTransactions(database: Database) {
  const { rows } = await sql<{ tables: string[]; request_ids: string[] }>`
    select array(select distinct table_name from noted_writes where noted_writes.transaction = known.transaction) as tables,
      array(select request_id from noted_entries where noted_entries.transaction = known.transaction) as request_ids
    from (select transaction from noted_writes union select transaction from noted_entries) as known`.execute(
    database,
  );
  return rows;
}

/** Every value of a table, as text. Bytes are there as they are and in hexadecimal. */
export async function readValues(database: Database, table: string): Promise<string[]> {
  const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(table)}`.execute(database);
  return rows.flatMap((row) =>
    Object.values(row).flatMap((value) => {
      if (!(value instanceof Uint8Array)) return [String(value)];
      const bytes = Buffer.from(value);
      return [bytes.toString("latin1"), bytes.toString("hex"), bytes.toString("base64")];
    }),
  );
}

/** Checks that no value holds a secret, as it is, in hexadecimal or in base64. */
export function assertFreeOf(values: readonly string[], secrets: readonly string[]): void {
  for (const secret of secrets) {
    assert.ok(secret.length >= 8, "too short to look for");
    const bytes = Buffer.from(secret);
    const forms = [secret, bytes.toString("hex"), bytes.toString("base64").replace(/=+$/, "")];
    for (const value of values) {
      assert.ok(!forms.some((form) => value.includes(form)), `a secret is in ${JSON.stringify(value)}`);
    }
  }
}
