import type { EventTailer } from "../events/event-tailer.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account } from "../users/account.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { type AccessTokenSettings, createAccessTokens } from "./access-token.ts";
import { createAccountWatch } from "./account-watch.ts";
import { startRefreshTokenCleanUp } from "./refresh-token-clean-up.ts";
import type { SigningKeyRing } from "./signing-key-ring.ts";
import { createTokenHolderLookup, type FindTokenHolder } from "./token-holder.ts";
import type { TokenPair } from "./token-pair.ts";
import { type AnswerTrade, createTokenRefresher } from "./token-refresher.ts";
import { createTokenValidator, type TokenValidation } from "./token-validator.ts";

/** Tokens: giving them, trading them, and saying whether they are good. docs/tokens.md has the rules. */
export interface TokenService {
  /**
   * Gives an account's owner, who has just proved to be that, a pair of tokens: a family of refresh tokens begins.
   *
   * @throws UserNotFoundError where the account has been deleted meanwhile
   */
  issue(account: Account, caller?: WriteCaller<TokenPair>): Promise<TokenPair>;
  /**
   * Trades a refresh token, which is then used up. A used one ends its whole family, for good.
   *
   * @param caller when it has left before the trade, the token stays good
   * @throws RefreshTokenInvalidError for whatever reason it is not good
   */
  refresh(refreshToken: string, caller?: WriteCaller<TokenPair>): Promise<TokenPair>;
  /**
   * The same for a call that may be the repetition of one whose answer was lost: a token that was used by that one is
   * not shown by a thief. So a used token ends its family only where `answer` fails all the same.
   *
   * @param answer carries the trade out, or finds the answer that was given before
   * @throws what `answer` throws
   */
  refreshOnce<Answer>(refreshToken: string, answer: AnswerTrade<Answer>): Promise<Answer>;
  /**
   * Says whether an access token is good right now: at once where all that it takes is in memory. Nothing that is
   * wrong with a token is an error.
   *
   * @throws the database's error where it had to be asked and cannot be
   */
  validate(token: string): TokenValidation | Promise<TokenValidation>;
  /** Who holds an access token, as {@link validate} knows it. */
  readonly findHolder: FindTokenHolder;
  /** Stops following accounts and deleting expired tokens. */
  close(): Promise<void>;
}

/** What is decided from outside. Times are milliseconds. */
export interface TokenSettings extends AccessTokenSettings {
  /** From each issue on: a family lasts for as long as it is used. */
  readonly refreshTtlMs: number;
}

/** What the service is made of. */
export interface TokenServiceDependencies {
  readonly database: Database;
  readonly tailer: EventTailer;
  readonly accounts: Pick<AccountService, "get">;
  readonly keys: SigningKeyRing;
  readonly settings: TokenSettings;
  readonly logger: Logger;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

/** Opens the service. Failures of the database pass through as they are; the server translates them. */
export function openTokenService(dependencies: TokenServiceDependencies): TokenService {
  const { database, tailer, accounts, keys, settings, logger, now = Date.now } = dependencies;
  const accessTokens = createAccessTokens(keys, settings, now);
  const watch = createAccountWatch({ tailer, accounts, logger });
  const { accessTtlMs, refreshTtlMs } = settings;
  const refresher = createTokenRefresher({
    database,
    accounts,
    accessTokens,
    accessTtlMs,
    refreshTtlMs,
    now,
  });
  const findHolder = createTokenHolderLookup({ accessTokens, accounts: watch, keys, now });
  const stopCleanUp = startRefreshTokenCleanUp(database, logger);
  return {
    issue: refresher.issue,
    refresh: refresher.refresh,
    refreshOnce: refresher.refreshOnce,
    validate: createTokenValidator(findHolder),
    findHolder,
    async close() {
      await Promise.all([watch.close(), stopCleanUp()]);
    },
  };
}
