import { DomainError } from "../platform/errors.ts";

/** The keys that encrypt the signing keys are missing or do not fit. For whoever starts the process. */
export class KeyEncryptionKeyError extends Error {
  override readonly name = "KeyEncryptionKeyError";
}

/** There is no key that this process could sign with; `cause` says why. */
export class NoSigningKeyError extends DomainError {
  override readonly name = "NoSigningKeyError";
  readonly kind = "unavailable";
  readonly reason = "NO_SIGNING_KEY";

  constructor(options: ErrorOptions) {
    super("tokens cannot be signed now; try again later", options);
  }
}

/** What to do where no key-encryption key opens these. */
export function describeUnopened(kids: readonly string[]): string {
  return (
    `no key-encryption key opens the signing key ${kids.join(", ")}: add the one that it was made with to ` +
    "KEY_ENCRYPTION_KEY (or put the file key-encryption-key back into DATA_DIR); where that is lost, replace all " +
    "signing keys by: user-bridge keys rotate --now"
  );
}
