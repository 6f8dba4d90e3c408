import { newId } from "../platform/new-id.ts";
import { inTransaction } from "../platform/transaction.ts";
import type { Database } from "../schema.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account } from "../users/account.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { AccessTokens } from "./access-token.ts";
import {
  findRefreshToken,
  insertFamily,
  lockRefreshToken,
  replaceRefreshToken,
  revokeFamily,
} from "./refresh-token.repository.ts";
import {
  hashRefreshToken,
  judgeRefreshToken,
  mintRefreshToken,
  type RefreshTokenRecord,
} from "./refresh-token.ts";
import { RefreshTokenInvalidError } from "./token.errors.ts";
import type { TokenPair } from "./token-pair.ts";

/** Gives token pairs, for logins and for refresh tokens. */
export interface TokenRefresher {
  /** See `TokenService.issue`. */
  issue(account: Account): Promise<TokenPair>;
  /** See `TokenService.refresh`. */
  refresh(refreshToken: string, signal?: AbortSignal): Promise<TokenPair>;
}

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

  /** Ends the family, and commits that: what its thief and its owner hold is worth nothing from now on. */
  function revoke(hash: Uint8Array): Promise<void> {
    return inTransaction(database, async (transaction) => {
      const record = await lockRefreshToken(transaction, hash);
      if (record !== undefined) await revokeFamily(transaction, record.familyId, now());
    });
  }

  /** @returns the next refresh token; undefined where the present one was not good any more */
  function replace(hash: Uint8Array, signal: AbortSignal | undefined): Promise<string | undefined> {
    return inTransaction(database, async (transaction) => {
      const record = await lockRefreshToken(transaction, hash);
      const verdict = judgeRefreshToken(record, now());
      if (record === undefined || verdict === "useless") {
        return undefined;
      }
      if (verdict === "replayed") {
        // Somebody was faster. The transaction must commit, so this is no error yet.
        await revokeFamily(transaction, record.familyId, now());
        return undefined;
      }
      // Whoever has left would never learn of the next token, and the present one would be used up.
      signal?.throwIfAborted();
      const next = mintRefreshToken();
      await replaceRefreshToken(transaction, {
        familyId: record.familyId,
        usedHash: hash,
        nextHash: next.hash,
        nowMs: now(),
        expiresAtMs: now() + refreshTtlMs,
      });
      return next.token;
    });
  }

  return {
    async issue(account) {
      const accessToken = await accessTokens.issue(account);
      const { token, hash } = mintRefreshToken();
      const nowMs = now();
      try {
        await insertFamily(database, {
          id: newId(new Date(nowMs)),
          userId: account.id,
          tokenEpoch: account.tokenEpoch,
          hash,
          createdAtMs: nowMs,
          expiresAtMs: nowMs + refreshTtlMs,
        });
      } catch (error) {
        throw isForeignKeyViolation(error) ? new UserNotFoundError() : error;
      }
      return { accessToken, refreshToken: token, expiresInSeconds };
    },

    async refresh(refreshToken, signal) {
      const hash = hashRefreshToken(refreshToken);
      if (hash === undefined) {
        throw new RefreshTokenInvalidError();
      }
      const record = await findRefreshToken(database, hash);
      const verdict = judgeRefreshToken(record, now());
      if (verdict === "replayed") {
        await revoke(hash);
      }
      const account = record !== undefined && verdict === "good" ? await findAccount(record) : undefined;
      if (account === undefined) {
        throw new RefreshTokenInvalidError();
      }
      // All that can fail comes before the token is used up.
      const accessToken = await accessTokens.issue(account);
      const next = await replace(hash, signal);
      if (next === undefined) {
        throw new RefreshTokenInvalidError();
      }
      return { accessToken, refreshToken: next, expiresInSeconds };
    },
  };
}

/** SQLSTATE 23503: the account was deleted while its owner logged in. */
function isForeignKeyViolation(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "23503";
}
