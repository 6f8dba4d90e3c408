import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sql } from "kysely";
import { removeExpiredLogins, startLoginCleanUp } from "../src/auth/login-clean-up.ts";
import { defaultLoginRules } from "../src/auth/login-rules.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { useDatabase } from "./support/shared-database.ts";

for (const backend of backends) {
  describe(`the login clean-up on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("removes what has expired, more than a batch of it, and nothing else", async () => {
      const { database } = await shared.renew();
      await sql`truncate login_attempts, login_addresses`.execute(database);
      const now = new Date(Date.UTC(2030, 0, 1));
      const nowMs = now.getTime();
      const oldestMs = nowMs - defaultLoginRules.knownAddressMs;
      await sql`
        insert into login_attempts (key, failures, blocked_until_ms, expires_at_ms)
        select 'key' || n, 1, 0, ${nowMs}::bigint + n - 2500 from generate_series(1, 2510) as n`.execute(
        database,
      );
      await sql`
        insert into login_addresses (account_key, address_key, seen_at_ms)
        select 'key' || n, 'key', ${oldestMs}::bigint + n - 1200 from generate_series(1, 1210) as n`.execute(
        database,
      );
      const ending = new AbortController();
      ending.abort();
      assert.equal(await removeExpiredLogins(database, now, ending.signal), 0);
      assert.equal(await removeExpiredLogins(database, now), 2_500 + 1_200);
      for (const table of ["login_attempts", "login_addresses"] as const) {
        const { count } = await database
          .selectFrom(table)
          .select((builder) => builder.fn.countAll<bigint>().as("count"))
          .executeTakeFirstOrThrow();
        assert.equal(count, 10n, table);
      }
    });

    test("runs by itself until it is stopped", async () => {
      const { database } = await shared.renew();
      await sql`truncate login_attempts, login_addresses`.execute(database);
      await sql`insert into login_attempts values ('key', 1, 0, 1)`.execute(database);
      const stop = startLoginCleanUp(database, testLogger);
      // The batch at hand is finished: the first begins at once.
      await stop();
      assert.deepEqual(await database.selectFrom("login_attempts").selectAll().execute(), []);
    });
  });
}
