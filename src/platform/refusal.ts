import type { DomainError } from "./errors.ts";

/** What the audit log is told of a refusal. */
export interface Refusal {
  /** May say more than the caller is told. */
  readonly reason: string;
  /** Whom it concerns, where the failure knows; else empty. */
  readonly subject: string;
}

/** A failure that is a refusal though its kind does not say so, or of which the audit log is told more. */
export interface KnownRefusal {
  readonly refusal: Refusal;
}

/**
 * Why a call was refused; undefined where its failure is no refusal: everybody who is not known, may not, or has shown
 * a credential that is no good.
 */
export function findRefusal(error: DomainError & Partial<KnownRefusal>): Refusal | undefined {
  if (error.refusal !== undefined) {
    return error.refusal;
  }
  return error.kind === "unauthenticated" || error.kind === "permission_denied"
    ? { reason: error.reason, subject: "" }
    : undefined;
}
