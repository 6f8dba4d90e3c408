import { sql } from "kysely";
import type { Database } from "../../src/schema.ts";
import { withDeadline } from "./with-deadline.ts";

/** Resolves as soon as a session of the PostgreSQL database waits for what another one has locked. */
export async function untilSomebodyWaits(database: Database): Promise<void> {
  await withDeadline("somebody to wait for a lock", poll(database));
}

async function poll(database: Database): Promise<void> {
  for (;;) {
    const { rows } = await sql`
      select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(database);
    if (rows.length > 0) return;
  }
}
