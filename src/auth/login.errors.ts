import { DomainError } from "../platform/errors.ts";
import type { KnownRefusal, Refusal } from "../platform/refusal.ts";

/** Email and password do not belong to an active account; which of them is at fault, nobody is told. */
export class BadLoginError extends DomainError {
  override readonly name = "BadLoginError";
  readonly kind = "unauthenticated";
  readonly reason = "BAD_LOGIN";

  constructor() {
    super("email and password do not belong to an active account");
  }
}

/** Too many logins have failed; whether this one would have is not looked at. */
export class LoginSlowedError extends DomainError implements KnownRefusal {
  override readonly name = "LoginSlowedError";
  readonly kind = "resource_exhausted";
  readonly reason = "LOGIN_SLOWED";
  override readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super("too many logins have failed; wait before the next");
    this.retryAfterMs = retryAfterMs;
  }

  get refusal(): Refusal {
    return { reason: this.reason, subject: "" };
  }
}
