import { DomainError } from "../platform/errors.ts";

/** The refresh token is good for nothing. Whether there ever was such a token, nobody is told. */
export class RefreshTokenInvalidError extends DomainError {
  override readonly name = "RefreshTokenInvalidError";
  readonly kind = "invalid_argument";
  readonly reason = "REFRESH_TOKEN_INVALID";

  constructor() {
    super("the refresh token is unknown, expired, used or revoked; log in again");
  }
}
