import { LRUCache } from "lru-cache";
import type { AccessTokens, VerifiedToken } from "./access-token.ts";
import type { AccountState, AccountWatch } from "./account-watch.ts";
import type { SigningKeyRing } from "./signing-key-ring.ts";

/** Whether a token is good, and whose it is. */
export type TokenValidation =
  | { readonly isValid: false }
  | {
      readonly isValid: true;
      readonly userId: string;
      readonly isActive: boolean;
      readonly isSuperuser: boolean;
      /** Unix seconds. */
      readonly expiresAt: bigint;
    };

/** Says whether an access token is good right now; see `TokenService.validate`. */
export type ValidateToken = (token: string) => TokenValidation | Promise<TokenValidation>;

/** What a validator is made of. */
export interface TokenValidatorDependencies {
  readonly accessTokens: Pick<AccessTokens, "verify">;
  readonly accounts: Pick<AccountWatch, "peek" | "load">;
  readonly keys: Pick<SigningKeyRing, "find">;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** How many verified tokens are kept. */
  readonly capacity?: number;
}

const invalid: TokenValidation = { isValid: false };

/**
 * Creates a validator. A token's signature and claims are checked once; what can change afterwards (the clock, the
 * key, the account) each time, from memory. Bad tokens are not kept: garbage must not push good ones out.
 */
export function createTokenValidator({
  accessTokens,
  accounts,
  keys,
  now,
  capacity = 50_000,
}: TokenValidatorDependencies): ValidateToken {
  const verified = new LRUCache<string, VerifiedToken>({ max: capacity });

  function isCurrent(token: VerifiedToken): boolean {
    return token.expiresAtMs > now() && keys.find(token.kid) !== undefined;
  }

  /** After a wait, the clock and the key are looked at again. */
  async function judgeLoaded(token: VerifiedToken): Promise<TokenValidation> {
    const account = await accounts.load(token.userId);
    return isCurrent(token) ? judge(token, account) : invalid;
  }

  async function verify(text: string): Promise<TokenValidation> {
    const token = await accessTokens.verify(text);
    if (token === undefined) {
      return invalid;
    }
    verified.set(text, token);
    const account = accounts.peek(token.userId);
    return account === undefined ? judgeLoaded(token) : judge(token, account);
  }

  return (text) => {
    const token = verified.get(text);
    if (token === undefined) {
      return verify(text);
    }
    if (!isCurrent(token)) {
      verified.delete(text);
      return invalid;
    }
    const account = accounts.peek(token.userId);
    return account === undefined ? judgeLoaded(token) : judge(token, account);
  };
}

function judge(token: VerifiedToken, account: AccountState): TokenValidation {
  return account.isActive && account.tokenEpoch === token.tokenEpoch
    ? {
        isValid: true,
        userId: token.userId,
        isActive: account.isActive,
        isSuperuser: account.isSuperuser,
        expiresAt: token.expiresAt,
      }
    : invalid;
}
