import { createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { Database } from "../../src/schema.ts";

/** The client of users.v1 at a server. */
export function usersAt(url: string, transport: Transport = createGrpcTransport({ baseUrl: url })) {
  return createClient(UserService, transport);
}

/** Call options with an idempotency key. */
export function withKey(key: string): { headers: Record<string, string> } {
  return { headers: { "idempotency-key": key } };
}

/** What a database has kept of writes. */
export interface KeptCounts {
  readonly events: number;
  readonly audits: number;
  readonly keys: number;
}

/** Counts what a database has kept of writes. */
export async function countKept(database: Database): Promise<KeptCounts> {
  const { rows } = await sql<KeptCounts>`
    select (select count(*)::integer from user_events) as events, (select count(*)::integer from audit_log) as audits,
      (select count(*)::integer from idempotency_keys) as keys`.execute(database);
  return rows[0] as KeptCounts;
}

/** What `work` adds to what a database has kept of writes. */
export async function countAdded(database: Database, work: () => Promise<unknown>): Promise<KeptCounts> {
  const before = await countKept(database);
  await work();
  const after = await countKept(database);
  return {
    events: after.events - before.events,
    audits: after.audits - before.audits,
    keys: after.keys - before.keys,
  };
}
