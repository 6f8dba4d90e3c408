import { DomainError } from "../platform/errors.ts";

/** The process that serves auth does not answer, or not in time; the same call may work later. */
export class AuthUnavailableError extends DomainError {
  override readonly name = "AuthUnavailableError";
  readonly kind = "unavailable";
  readonly reason = "AUTH_UNAVAILABLE";

  constructor(options?: ErrorOptions) {
    super("the auth service is unavailable; try again", options);
  }
}
