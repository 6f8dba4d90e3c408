import { sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database, Transaction } from "../schema.ts";

/**
 * Says that who may do what has changed: a key, a role or what one permits. To be called in the transaction of the
 * change, behind it: the row stays locked to the commit, so that revisions are in the order of the commits and
 * whoever has read one knows of every change up to it.
 */
export async function bumpAccessRevision(transaction: Transaction): Promise<void> {
  await sql`update access_head set revision = revision + 1`.execute(transaction);
}

/** Reads the revision. @throws the signal's reason when it aborts, the database's error */
export async function readAccessRevision(database: Database, signal: AbortSignal): Promise<bigint> {
  const query = database.selectFrom("access_head").select("revision");
  const { revision } = await untilAborted(signal, () => query.executeTakeFirstOrThrow());
  return revision;
}
