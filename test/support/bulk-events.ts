import { sql } from "kysely";
import type { Database } from "../../src/schema.ts";

/**
 * Appends bare events (of users that no table holds) by one statement, thousands in a moment. Nobody is woken.
 *
 * @param events.secondsOld how long ago they happened
 */
export async function appendBareEvents(
  database: Database,
  events: { readonly count: number; readonly type?: string; readonly secondsOld?: number },
): Promise<void> {
  const { count, type = "user_registered", secondsOld = 0 } = events;
  await sql`
    with head as (
      update stream_head set revision = revision + ${count}::int returning revision
    )
    insert into user_events (revision, id, type, user_id, payload, occurred_at)
    select head.revision - ${count}::int + ordinal, gen_random_uuid(), ${type}, user_id,
      jsonb_build_object('id', user_id, 'email', 'bare@example.com', 'username', 'bare', 'is_active', true,
        'created_at', '2024-01-01T00:00:00.000Z'),
      now() - ${secondsOld}::int * interval '1 second'
    from head, generate_series(1, ${count}::int) as ordinal, lateral (select gen_random_uuid() as user_id
      where ordinal is not null) as bare`.execute(database);
}
