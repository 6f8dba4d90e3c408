import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { CompiledQuery, Kysely, PostgresDialect, sql } from "kysely";
import { Pool } from "pg";
import type { DatabaseConfig } from "../src/platform/config.ts";
import type { SearchFilter } from "../src/profiles/search/user-search.ts";
import type { Database, Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { openSearch } from "./support/search-system.ts";
import { useDatabase } from "./support/shared-database.ts";

/** Few are found by each, or it would be better to read all: a rare name, a typing error, a short beginning. */
const searches: readonly (readonly [text: string, filters: readonly SearchFilter[]])[] = [
  ["a87ff679a2f3e71d", []],
  ["a87fd679a2f3", []],
  ["a8", []],
  ["87ff679a", ["active"]],
  ["a87ff679a2f3e71d@example.com", ["active"]],
];

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe("the search's plans among 20,000 users", () => {
    const shared = useDatabase(backend);

    test("what a search reads, it reads by the trigram index", async (t) => {
      const { config, database } = await shared.renew();
      await generateUsers(database, 20_000);
      const { recorded, recording } = openRecording(t, config);
      const search = openSearch(t, recording);
      for (const [text, filters] of searches) {
        recorded.length = 0;
        await search.search({ text, limit: 0, offset: 0, filters });
        const statements = recorded.filter((query) => query.sql.includes("from user_search"));
        assert.ok(statements.length > 0, text);
        for (const statement of statements) {
          const plan = await explain(database, statement);
          assert.match(plan, /Bitmap Index Scan on user_search_document/, `${text}\n${plan}`);
          assert.doesNotMatch(plan, /Seq Scan on user_search/, `${text}\n${plan}`);
        }
      }
    });
  });
}

/** Users and their documents, as if all had been indexed. */
async function generateUsers(database: Database, count: number): Promise<void> {
  await sql`
    insert into users (id, email, full_name, created_at)
    select gen_random_uuid(), left(md5(n::text), 16) || '@example.com', md5('name' || n), now()
    from generate_series(1, ${count}::int) as n`.execute(database);
  await sql`
    insert into user_search (user_id, document)
    select id, ' ' || lower(full_name) || E' \n ' || email || E' \n  ' from users`.execute(database);
  await sql`update search_head set database_id = (select database_id from stream_head), revision = 0, rebuilt_to = null`.execute(
    database,
  );
  await sql`vacuum analyze user_search, users`.execute(database);
}

function openRecording(t: TestContext, config: DatabaseConfig) {
  assert.equal(config.kind, "postgres");
  const recorded: CompiledQuery[] = [];
  const recording = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: config.url }) }),
    log: ({ query }) => void recorded.push(query),
  });
  cleanUpAfter(t, () => recording.destroy());
  return { recorded, recording };
}

async function explain(database: Database, { sql: text, parameters }: CompiledQuery): Promise<string> {
  const { rows } = await database.executeQuery<Record<string, string>>(
    CompiledQuery.raw(`explain ${text}`, [...parameters]),
  );
  return rows.map((row) => row["QUERY PLAN"]).join("\n");
}
