import type { ServiceImpl } from "@connectrpc/connect";
import type { AuditService } from "../../gen/audit/v1/audit_pb.ts";
import { createAuditHandler } from "../audit/audit.handler.ts";
import { createAuditService } from "../audit/audit.service.ts";
import { startAuditRetention } from "../audit/audit-retention.ts";
import { openRefusalAudit } from "../audit/refusal-audit.ts";
import { toRefusalDraft } from "../audit/refused-call-entry.ts";
import type { OnRefusal } from "../server/interceptors/failure-translation.ts";
import type { Core } from "./core.ts";

/** What the audit log adds to a process. */
export interface Audit {
  readonly handler: ServiceImpl<typeof AuditService>;
  /** For every listener: takes down the calls that it refuses. */
  readonly onRefusal: OnRefusal;
}

/** Builds the audit log's reader, its retention and what takes refusals down. */
export function openAudit(
  core: Pick<Core, "config" | "logger" | "closing" | "database" | "now" | "metrics">,
): Audit {
  const { config, logger, closing, database, now } = core;
  const refusals = openRefusalAudit({ database, logger });
  core.metrics?.watch({ refusalAudit: refusals.load });
  closing.push("audit of refusals", () => refusals.close());
  if (config.auditRetentionMs !== undefined) {
    closing.push("audit retention", startAuditRetention(database, config.auditRetentionMs, logger));
  }
  return {
    handler: createAuditHandler(createAuditService(database)),
    onRefusal: (call) => refusals.refuse(toRefusalDraft(call, now())),
  };
}
