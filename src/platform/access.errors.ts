import { DomainError } from "./errors.ts";

/** Why a call counts as unauthenticated. None says whether a key or an account exists. */
const unauthenticatedTexts = {
  CREDENTIAL_MISSING:
    "this needs a credential: authorization: Bearer with an access token or an API key, x-api-key, or a client certificate",
  CREDENTIAL_INVALID: "the credential is not valid",
  CREDENTIALS_AMBIGUOUS: "the call has several different credentials; give one",
  CREDENTIAL_ENDED: "the credential behind this stream has ended",
} as const;

/** Nobody knows who calls. */
export class UnauthenticatedError extends DomainError {
  override readonly name = "UnauthenticatedError";
  readonly kind = "unauthenticated";
  readonly reason: keyof typeof unauthenticatedTexts;
  /** RFC 9110, section 11.6.1, asks for it with a 401. */
  override readonly metadata = { "www-authenticate": "Bearer" };

  constructor(reason: keyof typeof unauthenticatedTexts) {
    super(unauthenticatedTexts[reason]);
    this.reason = reason;
  }
}

/** It is known who calls, and that they may not do this. */
export class PermissionDeniedError extends DomainError {
  override readonly name = "PermissionDeniedError";
  readonly kind = "permission_denied";
  readonly reason = "PERMISSION_MISSING";
  override readonly metadata: Readonly<Record<string, string>>;

  /** @param permission the one that is missing, or the first of them; undefined: no permission opens this */
  constructor(permission?: string) {
    super(permission === undefined ? "nobody may do this" : `this needs the permission ${permission}`);
    this.metadata = permission === undefined ? {} : { permission };
  }
}

/** The page that calls is from elsewhere, and nothing but where it is from protects what it calls (AUTH=off). */
export class OriginNotAllowedError extends DomainError {
  override readonly name = "OriginNotAllowedError";
  readonly kind = "permission_denied";
  readonly reason = "ORIGIN_NOT_ALLOWED";

  constructor() {
    super("with AUTH=off, pages of this origin may not call; if they should, list it in CORS_ORIGINS");
  }
}
