import { DomainError } from "../platform/errors.ts";
import type { KnownRefusal, Refusal } from "../platform/refusal.ts";

/**
 * The refresh token is good for nothing. Whether there ever was such a token, nobody is told but the audit log, where
 * that is known: somebody has shown one that had been used, and so its family has ended.
 */
export class RefreshTokenInvalidError extends DomainError implements KnownRefusal {
  override readonly name = "RefreshTokenInvalidError";
  readonly kind = "invalid_argument";
  readonly reason = "REFRESH_TOKEN_INVALID";

  readonly #replayedUserId: string | undefined;

  constructor(replayedUserId?: string) {
    super("the refresh token is unknown, expired, used or revoked; log in again");
    this.#replayedUserId = replayedUserId;
  }

  /** Whether the token was good once, and has been used since. */
  get isReplay(): boolean {
    return this.#replayedUserId !== undefined;
  }

  get refusal(): Refusal {
    return this.#replayedUserId === undefined
      ? { reason: this.reason, subject: "" }
      : { reason: "REFRESH_TOKEN_REPLAYED", subject: this.#replayedUserId };
  }
}
