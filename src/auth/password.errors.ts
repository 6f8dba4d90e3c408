import { DomainError } from "../platform/errors.ts";

/** As many passwords as may wait to be hashed do so already. */
export class PasswordsBusyError extends DomainError {
  override readonly name = "PasswordsBusyError";
  readonly kind = "resource_exhausted";
  readonly reason = "PASSWORDS_BUSY";
  override readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super("too many passwords are being checked at once; try again");
    this.retryAfterMs = retryAfterMs;
  }
}
