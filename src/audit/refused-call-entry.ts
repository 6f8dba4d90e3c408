import type { Message } from "@bufbuild/protobuf";
import type { CallScope } from "../platform/call-scope.ts";
import type { Refusal } from "../platform/refusal.ts";
import type { AuditDraft } from "../writes/write-record.ts";
import { findRequestSubject } from "./request-subject.ts";

/** What is known of a call that was refused. */
export interface RefusedCallFacts {
  readonly procedure: string;
  readonly message: Message | undefined;
  readonly scope: CallScope;
  readonly outcome: string;
  readonly refusal: Refusal;
}

/** The entry of a call that was refused. */
export function toRefusalDraft(call: RefusedCallFacts, now: Date): AuditDraft {
  const { procedure, message, scope, outcome, refusal } = call;
  return {
    occurredAt: now,
    actor: scope.principal.actor,
    credential: scope.principal.credential,
    procedure,
    subject: refusal.subject === "" ? findRequestSubject(message) : refusal.subject,
    outcome,
    reason: refusal.reason,
    address: scope.address,
    requestId: scope.requestId,
  };
}
