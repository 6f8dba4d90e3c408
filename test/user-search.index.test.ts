import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { removeExpiredEvents } from "../src/events/event-retention.ts";
import { createUserSearch } from "../src/profiles/search/user-search.ts";
import type { Database } from "../src/schema.ts";
import { backends } from "./support/databases.ts";
import { openLog, openProcess, testLogger } from "./support/event-system.ts";
import { createAccount, findIds, openSearch } from "./support/search-system.ts";
import { useDatabase } from "./support/shared-database.ts";

/** So small that everything takes many steps. */
const smallStep = 3;

for (const backend of backends) {
  describe(`the search index on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("a search finds what was committed before it, and nothing that is gone", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const search = openSearch(t, database, smallStep);
      assert.deepEqual(await findIds(search, "renamed"), []);
      const accounts = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          createAccount(system, `person${index}@example.com`, `Person ${index}`),
        ),
      );
      const ids = accounts.map(({ id }) => id).toSorted();
      assert.deepEqual(await findIds(search, "person"), ids);
      const [renamed = "", deleted = ""] = ids;
      await system.accounts.update(renamed, { fullName: "Renamed" });
      assert.deepEqual(await findIds(search, "renamed"), [renamed]);
      await system.accounts.delete(deleted);
      assert.equal((await findIds(search, "person")).includes(deleted), false);
      assert.equal(await countDocuments(database), 9);
    });

    test("a deleted user leaves no document behind, though nobody searches", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const search = openSearch(t, database);
      const { id } = await createAccount(system, "gone@example.com", "Soon Gone");
      assert.deepEqual(await findIds(search, "gone"), [id]);
      await system.accounts.delete(id);
      assert.equal(await countDocuments(database), 0);
    });

    test("users who were there before the index are found, also those who change while it is built", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const made = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          createAccount(system, `early${index}@example.com`, `Early ${index}`),
        ),
      );
      await forgetLog(database);
      const search = openSearch(t, database, smallStep);
      const [changed, deleted] = made;
      const [found] = await Promise.all([
        findIds(search, "early"),
        system.accounts.update(changed?.id ?? "", { fullName: "Later" }),
        system.accounts.delete(deleted?.id ?? ""),
        createAccount(system, "newcomer@example.com", "Early newcomer"),
      ]);
      assert.ok(found.length >= 49, `${found.length} found`);
      assert.equal((await findIds(search, "early")).length, 50);
      assert.deepEqual(await findIds(search, "later"), [changed?.id]);
      assert.equal(await countDocuments(database), 50);
    });

    test("events that retention removed before they were indexed do not count as indexed", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const search = openSearch(t, database, smallStep);
      const { id } = await createAccount(system, "before@example.com", "Before");
      assert.deepEqual(await findIds(search, "before"), [id]);
      await system.accounts.update(id, { fullName: "Behind", email: "behind@example.com" });
      const { id: missed } = await createAccount(system, "missed@example.com", "Missed");
      await forgetLog(database);
      await createAccount(system, "after@example.com", "After");
      assert.deepEqual(await findIds(search, "behind"), [id]);
      assert.deepEqual(await findIds(search, "before"), []);
      assert.deepEqual(await findIds(search, "missed"), [missed]);
    });

    test("a log that begins anew has its users indexed anew", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const search = openSearch(t, database);
      await createAccount(system, "old@example.com", "Old World");
      assert.equal((await findIds(search, "world")).length, 1);
      await sql`truncate users, user_events cascade`.execute(database);
      await sql`update stream_head set database_id = gen_random_uuid(), revision = 0, floor = 0`.execute(
        database,
      );
      const { id } = await createAccount(system, "new@example.com", "New World");
      assert.deepEqual(await findIds(search, "world"), [id]);
    });

    test("replicas that catch up at once while users change and go agree, and all is indexed once", async (t) => {
      const { config, database } = await shared.renew();
      const writer = await openLog(t, database);
      const replicas = [];
      for (let replica = 0; replica < 3; replica++) {
        // The embedded database has one process.
        const own = config.kind === "postgres" ? (await openProcess(t, config)).database : database;
        replicas.push(openSearch(t, own, smallStep));
      }
      for (let round = 0; round < 5; round++) {
        const made = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            createAccount(writer, `crowd${round}x${index}@example.com`, `Crowd ${round}`),
          ),
        );
        const [changing, going] = [made.slice(0, 10), made.slice(5, 15)];
        await Promise.all([
          ...replicas.map((search) => findIds(search, "crowd")),
          ...changing.map(({ id }) => writer.accounts.update(id, { fullName: "Changed" }).catch(() => {})),
          ...going.map(({ id }) => writer.accounts.delete(id)),
          ...replicas.map((search) => findIds(search, "changed")),
        ]);
        const { rows } = await sql<{ id: string }>`
          select id from users where full_name = 'Changed' order by id`.execute(database);
        const expected = rows.map(({ id }) => id);
        const found: (readonly string[])[] = await Promise.all(
          replicas.map((search) => findIds(search, "changed")),
        );
        assert.deepEqual(found, [expected, expected, expected]);
        assert.equal(expected.length, 5 * (round + 1));
      }
      assert.equal(await countDocuments(database), 50);
    });

    test("the index follows the log though nobody searches, and not after it was closed", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const search = createUserSearch({ database, logger: testLogger, followIntervalMs: 1, stepSize: 2 });
      await Promise.all(
        Array.from({ length: 9 }, (_, index) => createAccount(system, `e${index}@example.com`, "Someone")),
      );
      // A turn of the event loop each: the embedded database answers within one.
      while ((await countDocuments(database)) < 9) await setImmediate();
      await search.close();
      await search.close();
      await createAccount(system, "late@example.com", "Late");
      await assert.rejects(findIds(search, "late"), { name: "DatabaseUnavailableError" });
      assert.equal(await countDocuments(database), 9);
    });
  });
}

async function countDocuments(database: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from user_search`.execute(
    database,
  );
  return rows[0]?.count ?? Number.NaN;
}

/** Retention, with everything that has happened so far out of its time. */
async function forgetLog(database: Database): Promise<void> {
  await removeExpiredEvents(database, 0, new Date(Date.now() + 60_000));
}
