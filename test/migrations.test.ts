import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sql } from "kysely";
import { openDatabase } from "../src/platform/database.ts";
import { createLogger } from "../src/platform/logger.ts";
import { migrate } from "../src/platform/migrator.ts";
import type { Schema } from "../src/schema.ts";
import { backends } from "./support/databases.ts";
import { runCommand, startServerProcess } from "./support/server-process.ts";

const logger = createLogger({ logLevel: "silent", logFormat: "json" });

for (const backend of backends) {
  describe(`migrations on the ${backend.name} database`, () => {
    test("MIGRATE=off refuses a stale schema with the command that mends it", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      const refused = await runCommand(["serve"], {
        ...database.variables,
        LISTEN: "127.0.0.1:0",
        INTERNAL_LISTEN: "off",
        MIGRATE: "off",
      });
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /behind by 0001_users, 0002_events.*run: user-bridge migrate/);
      assert.doesNotMatch(refused.stderr, /\n\s+at /);

      const mended = await runCommand(["migrate"], database.variables);
      assert.equal(mended.code, 0, mended.stderr);
      assert.match(mended.stdout, /0001_users, 0002_events/);
      const again = await runCommand(["migrate"], database.variables);
      assert.match(again.stdout, /is up to date/);

      const server = await startServerProcess({ ...database.variables, MIGRATE: "off" });
      assert.deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
    });

    test("a query beside an open transaction does not run inside it", async (t) => {
      const { config, drop } = await backend.create();
      const database = await openDatabase<Schema>(config, logger);
      t.after(async () => {
        await database.close();
        await drop();
      });
      await migrate(database.queries, logger);
      const revision = async () =>
        (await database.queries.selectFrom("stream_head").select("revision").executeTakeFirstOrThrow())
          .revision;
      let beside: Promise<bigint> | undefined;
      await assert.rejects(
        database.queries.transaction().execute(async (transaction) => {
          await transaction.updateTable("stream_head").set({ revision: 7n }).execute();
          beside = revision();
          await sql`select 1`.execute(transaction);
          throw new Error("roll back");
        }),
        /roll back/,
      );
      assert.equal(await beside, 0n);
      assert.equal(await revision(), 0n);
    });
  });
}

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  test("processes that start at once on one empty PostgreSQL all serve, and migrate once", async (t) => {
    const database = await backend.create();
    t.after(() => database.drop());
    const servers = await Promise.all([1, 2, 3].map(() => startServerProcess(database.variables)));
    for (const server of servers) {
      assert.deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
    }
  });
}
