import type { AuditDraft } from "../writes/write-record.ts";

/** An entry of the audit log. */
export interface AuditEntry extends AuditDraft {
  readonly id: bigint;
  /** How many calls it stands for. */
  readonly calls: bigint;
}

/** A draft that stands for so many calls. */
export interface CountedDraft extends AuditDraft {
  readonly calls: number;
}

/** What entries have in common; what is empty or undefined does not matter. */
export interface AuditFilter {
  readonly actor: string;
  readonly subject: string;
  readonly procedure: string;
  readonly outcome: string;
  /** At this time or later. */
  readonly since: Date | undefined;
  /** Before this time. */
  readonly before: Date | undefined;
}

/** Where an entry stands: entries are in the order of their times, and of their ids where those are the same. */
export type AuditPosition = Pick<AuditEntry, "occurredAt" | "id">;
