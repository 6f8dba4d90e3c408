import { Client } from "pg";
import { repository } from "./places.ts";
import type { Postgres } from "./postgres.ts";
import { run } from "./process.ts";

/** Runs statements in a database, one after another. */
export async function withDatabase<Result>(
  url: string,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ connectionString: url });
  // The cluster may be stopped under it by Ctrl-C; the query in flight reports that.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** How many rows one statement inserts. */
const seedBatch = 500_000;

/**
 * Creates a database with the service's own schema and users user-1@example.com to user-N@example.com, and,
 * where asked, as many events. Returns its URL.
 */
export async function createDatabase(
  postgres: Postgres,
  name: string,
  size: { readonly users: number; readonly events?: number },
): Promise<string> {
  await withDatabase(postgres.url("postgres"), (client) => client.query(`create database ${name}`));
  const url = postgres.url(name);
  await migrate(url);
  await withDatabase(url, async (client) => {
    // Durable from the checkpoint below on, which is all that a seed needs.
    await client.query("set synchronous_commit = off");
    for (let first = 1; first <= size.users; first += seedBatch) {
      await client.query(seedUsers, [first, Math.min(first + seedBatch - 1, size.users)]);
    }
    for (let first = 1; first <= (size.events ?? 0); first += seedBatch) {
      const last = Math.min(first + seedBatch - 1, size.events ?? 0);
      await client.query("begin");
      await client.query(seedEvents, [first, last]);
      // The log's rule: revisions are dense, and the head is the newest.
      await client.query("update stream_head set revision = $1", [last]);
      await client.query("commit");
    }
    await client.query("vacuum (analyze) users");
    await client.query("vacuum (analyze) user_events");
    await client.query("checkpoint");
  });
  return url;
}

async function migrate(url: string): Promise<void> {
  const main = `${repository}/src/main.ts`;
  await run(["node", main, "migrate"], {
    cwd: repository,
    variables: { DATABASE_URL: url, LOG_LEVEL: "warn" },
  });
}

/** Ids that rise with time, as the service's own (UUID version 7) do. */
const seedUsers = `
  insert into users (id, email, username, created_at)
  select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3)
      || '8' || substr(md5(n::text), 4, 15))::uuid,
    'user-' || n || '@example.com', 'user_' || n, timestamptz '2024-01-01' + n * interval '1 ms'
  from generate_series($1::bigint, $2::bigint) as n`;

const seedEvents = `
  insert into user_events (revision, id, type, user_id, payload, occurred_at)
  select n, gen_random_uuid(), 'user_registered', user_id,
    jsonb_build_object('id', user_id, 'email', 'user-' || n || '@example.com', 'username', 'user_' || n,
      'is_active', true, 'created_at', '2024-01-01T00:00:00.000Z'), now()
  from generate_series($1::bigint, $2::bigint) as n,
    lateral (select gen_random_uuid() as user_id where n is not null) as bare`;
