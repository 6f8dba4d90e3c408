import type { Generated, GeneratedAlways } from "kysely";

/** The table of the audit slice. */
export interface AuditTables {
  audit_log: AuditLogTable;
}

/** Written by whoever writes (src/writes) and by the refusals, never changed. */
interface AuditLogTable {
  id: GeneratedAlways<bigint>;
  occurred_at: Date;
  actor: string;
  credential: string;
  procedure: string;
  subject: string;
  outcome: string;
  reason: string;
  address: string;
  request_id: string;
  /** How many calls the entry stands for. */
  calls: Generated<bigint>;
}
