import assert from "node:assert/strict";
import { after, before } from "node:test";
import { sql } from "kysely";
import type { DatabaseConfig } from "../../src/platform/config.ts";
import { openDatabase } from "../../src/platform/database.ts";
import { migrate } from "../../src/platform/migrator.ts";
import type { Database, Schema } from "../../src/schema.ts";
import type { Backend } from "./databases.ts";
import { testLogger } from "./event-system.ts";

/** A migrated database and an open connection to it. */
export interface ReadyDatabase {
  readonly config: DatabaseConfig;
  readonly database: Database;
}

/** One database for the tests of a suite, one after the other: opening one takes longer than most tests. */
export interface SharedDatabase {
  /** Makes it as good as new, with an identity of its own. Whatever used it must have been closed. */
  renew(): Promise<ReadyDatabase>;
}

/** Provides the tests of the suite in whose body it is called with a database. */
export function useDatabase(
  backend: Backend,
  prepare: (database: Database) => Promise<void> = async () => {},
): SharedDatabase {
  let shared: ReadyDatabase | undefined;
  const cleanUps = new AsyncDisposableStack();
  before(async () => {
    const created = await backend.create();
    cleanUps.defer(created.drop);
    const opened = await openDatabase<Schema>(created.config, testLogger);
    cleanUps.defer(opened.close);
    await migrate(opened.queries, testLogger);
    await prepare(opened.queries);
    shared = { config: created.config, database: opened.queries };
  });
  after(() => cleanUps.disposeAsync());
  return {
    async renew() {
      assert.ok(shared, "the suite's database has not been opened");
      const { database } = shared;
      await sql`truncate users, user_events, audit_log, idempotency_keys cascade`.execute(database);
      await sql`update stream_head set database_id = gen_random_uuid(), revision = 0, floor = 0`.execute(
        database,
      );
      return shared;
    },
  };
}
