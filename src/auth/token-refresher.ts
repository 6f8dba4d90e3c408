import { newId } from "../platform/new-id.ts";
import type { Database } from "../schema.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account } from "../users/account.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import type { AccessTokens } from "./access-token.ts";
import {
  findRefreshToken,
  insertFamily,
  lockRefreshToken,
  replaceRefreshToken,
} from "./refresh-token.repository.ts";
import {
  hashRefreshToken,
  judgeRefreshToken,
  mintRefreshToken,
  type RefreshTokenRecord,
} from "./refresh-token.ts";
import { RefreshTokenInvalidError } from "./token.errors.ts";
import type { TokenPair } from "./token-pair.ts";
import { endFamilyOnReplay } from "./token-replay.ts";

/** Gives token pairs, for logins and for refresh tokens. */
export interface TokenRefresher {
  /** See `TokenService.issue`. */
  issue(account: Account, caller?: WriteCaller<TokenPair>): Promise<TokenPair>;
  /** See `TokenService.refresh`. */
  refresh(refreshToken: string, caller?: WriteCaller<TokenPair>): Promise<TokenPair>;
  /** See `TokenService.refreshOnce`. */
  refreshOnce<Answer>(refreshToken: string, answer: AnswerTrade<Answer>): Promise<Answer>;
}

/** Trades a refresh token for a pair, and answers with it. */
export type AnswerTrade<Answer> = (
  trade: (caller?: WriteCaller<TokenPair>) => Promise<TokenPair>,
) => Promise<Answer>;

/** What a refresher is made of. */
export interface TokenRefresherDependencies {
  readonly database: Database;
  readonly accounts: Pick<AccountService, "get">;
  readonly accessTokens: AccessTokens;
  readonly accessTtlMs: number;
  readonly refreshTtlMs: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** Creates a refresher. */
export function createTokenRefresher(dependencies: TokenRefresherDependencies): TokenRefresher {
  const { database, accounts, accessTokens, accessTtlMs, refreshTtlMs, now } = dependencies;
  const expiresInSeconds = Math.floor(accessTtlMs / 1_000);

  async function findAccount({ userId, tokenEpoch }: RefreshTokenRecord): Promise<Account | undefined> {
    try {
      const account = await accounts.get(userId);
      return account.isActive && account.tokenEpoch === tokenEpoch ? account : undefined;
    } catch (error) {
      if (error instanceof UserNotFoundError) return undefined;
      throw error;
    }
  }

  /** Uses a token up for the next one. @throws RefreshTokenInvalidError where it is not good any more */
  function replace(
    hash: Uint8Array,
    accessToken: string,
    caller: WriteCaller<TokenPair> | undefined,
  ): Promise<TokenPair> {
    // Whoever has left would never learn of the next token: the transaction does not commit for them.
    return inWriteTransaction(
      database,
      async (transaction) => {
        const record = requireGood(await lockRefreshToken(transaction, hash));
        const next = mintRefreshToken();
        await replaceRefreshToken(transaction, {
          familyId: record.familyId,
          usedHash: hash,
          nextHash: next.hash,
          nowMs: now(),
          expiresAtMs: now() + refreshTtlMs,
        });
        return { accessToken, refreshToken: next.token, userId: record.userId, expiresInSeconds };
      },
      caller,
    );
  }

  /** @throws RefreshTokenInvalidError that says whether the token was shown before */
  function requireGood(record: RefreshTokenRecord | undefined): RefreshTokenRecord {
    const verdict = judgeRefreshToken(record, now());
    if (record !== undefined && verdict === "good") {
      return record;
    }
    throw new RefreshTokenInvalidError(verdict === "replayed" ? record?.userId : undefined);
  }

  async function trade(
    hash: Uint8Array | undefined,
    caller: WriteCaller<TokenPair> | undefined,
  ): Promise<TokenPair> {
    const record = requireGood(hash && (await findRefreshToken(database, hash)));
    const account = await findAccount(record);
    if (hash === undefined || account === undefined) {
      throw new RefreshTokenInvalidError();
    }
    // All that can fail comes before the token is used up.
    const accessToken = await accessTokens.issue(account);
    return replace(hash, accessToken, caller);
  }

  function refreshOnce<Answer>(refreshToken: string, answer: AnswerTrade<Answer>): Promise<Answer> {
    const hash = hashRefreshToken(refreshToken);
    return endFamilyOnReplay(database, hash, now, (watch) => answer((caller) => watch(trade(hash, caller))));
  }

  return {
    async issue(account, caller) {
      const accessToken = await accessTokens.issue(account);
      const { token, hash } = mintRefreshToken();
      const nowMs = now();
      const pair = { accessToken, refreshToken: token, userId: account.id, expiresInSeconds };
      try {
        return await inWriteTransaction(
          database,
          async (transaction) => {
            await insertFamily(transaction, {
              id: newId(new Date(nowMs)),
              userId: account.id,
              tokenEpoch: account.tokenEpoch,
              hash,
              createdAtMs: nowMs,
              expiresAtMs: nowMs + refreshTtlMs,
            });
            return pair;
          },
          caller,
        );
      } catch (error) {
        throw isForeignKeyViolation(error) ? new UserNotFoundError() : error;
      }
    },

    refresh: (refreshToken, caller) => refreshOnce(refreshToken, (trade) => trade(caller)),
    refreshOnce,
  };
}

/** SQLSTATE 23503: the account was deleted while its owner logged in. */
function isForeignKeyViolation(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "23503";
}
