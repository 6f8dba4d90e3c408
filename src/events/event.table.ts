import type { ColumnType, Generated } from "kysely";
import type { StoredSnapshot } from "./user-snapshot.ts";

/** The tables of the event log. */
export interface EventTables {
  stream_head: StreamHeadTable;
  user_events: UserEventTable;
}

/** The log's one row of state. */
interface StreamHeadTable {
  only_row: Generated<boolean>;
  database_id: Generated<string>;
  /** Revision of the newest event. */
  revision: Generated<bigint>;
  /** Revision of the newest event that retention has removed. */
  floor: Generated<bigint>;
}

interface UserEventTable {
  revision: bigint;
  id: string;
  type: string;
  user_id: string;
  payload: ColumnType<StoredSnapshot, string, never>;
  occurred_at: Date;
}
