import { LRUCache } from "lru-cache";
import type { AccessTokens, VerifiedToken } from "./access-token.ts";
import type { AccountState, AccountWatch } from "./account-watch.ts";
import type { SigningKeyRing } from "./signing-key-ring.ts";

/** A good token, and whose it is: the account as it is right now. */
export interface TokenHolder {
  readonly token: VerifiedToken;
  readonly account: AccountState;
}

/**
 * The holder of an access token; undefined where the token is not good right now. At once where all that it takes is
 * in memory, and then the same object as before until something happens to the account.
 *
 * @throws the database's error where it had to be asked and cannot be
 */
export type FindTokenHolder = (token: string) => TokenHolder | undefined | Promise<TokenHolder | undefined>;

/** What it takes to know. */
export interface TokenHolderDependencies {
  readonly accessTokens: Pick<AccessTokens, "verify">;
  readonly accounts: Pick<AccountWatch, "peek" | "load">;
  readonly keys: Pick<SigningKeyRing, "find">;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** How many verified tokens are kept. */
  readonly capacity?: number;
}

/** A token whose signature and claims have been found good. */
interface KnownToken {
  readonly token: VerifiedToken;
  holder: TokenHolder | undefined;
}

/**
 * Creates the look-up. A token's signature and claims are checked once; what can change afterwards (the clock, the
 * key, the account) each time, from memory. Bad tokens are not kept: garbage must not push good ones out.
 */
export function createTokenHolderLookup({
  accessTokens,
  accounts,
  keys,
  now,
  capacity = 50_000,
}: TokenHolderDependencies): FindTokenHolder {
  const verified = new LRUCache<string, KnownToken>({ max: capacity });

  function isCurrent(token: VerifiedToken): boolean {
    return token.expiresAtMs > now() && keys.find(token.kid) !== undefined;
  }

  function find(known: KnownToken): TokenHolder | undefined | Promise<TokenHolder | undefined> {
    const account = accounts.peek(known.token.userId);
    return account === undefined ? load(known) : judge(known, account);
  }

  /** After a wait, the clock and the key are looked at again. */
  async function load(known: KnownToken): Promise<TokenHolder | undefined> {
    const account = await accounts.load(known.token.userId);
    return isCurrent(known.token) ? judge(known, account) : undefined;
  }

  async function verify(text: string): Promise<TokenHolder | undefined> {
    const token = await accessTokens.verify(text);
    if (token === undefined) return undefined;
    const known: KnownToken = { token, holder: undefined };
    verified.set(text, known);
    return find(known);
  }

  return (text) => {
    const known = verified.get(text);
    if (known === undefined) return verify(text);
    if (isCurrent(known.token)) return find(known);
    verified.delete(text);
    return undefined;
  };
}

function judge(known: KnownToken, account: AccountState): TokenHolder | undefined {
  if (!account.isActive || account.tokenEpoch !== known.token.tokenEpoch) return undefined;
  if (known.holder?.account !== account) known.holder = { token: known.token, account };
  return known.holder;
}
