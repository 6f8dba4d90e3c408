import type { FindTokenHolder, TokenHolder } from "./token-holder.ts";

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

const invalid: TokenValidation = { isValid: false };

/** Creates a validator of what is known of the holders of tokens. */
export function createTokenValidator(findHolder: FindTokenHolder): ValidateToken {
  return (token) => {
    const holder = findHolder(token);
    return holder instanceof Promise ? holder.then(toValidation) : toValidation(holder);
  };
}

function toValidation(holder: TokenHolder | undefined): TokenValidation {
  if (holder === undefined) return invalid;
  const { token, account } = holder;
  return {
    isValid: true,
    userId: token.userId,
    isActive: account.isActive,
    isSuperuser: account.isSuperuser,
    expiresAt: token.expiresAt,
  };
}
