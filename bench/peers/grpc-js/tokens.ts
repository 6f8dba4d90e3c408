import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from "jose";
import type { TokenRequest, TokenValidationResponse } from "./messages.ts";

/** What a token must say beside its signature: what the service that issues them is configured with by default. */
const claims = { algorithms: ["EdDSA"], typ: "JWT", issuer: "user-bridge", audience: "user-bridge" };

/**
 * ValidateToken as it is written by hand: each call verifies its token with the keys of a set in memory. Nobody is
 * asked whether the account still is what it was.
 */
export function createTokenValidation(
  jwks: string,
): (request: TokenRequest) => Promise<TokenValidationResponse> {
  const findKey = createLocalJWKSet(JSON.parse(jwks) as JSONWebKeySet);
  return async ({ token }) => {
    try {
      const { payload } = await jwtVerify<{ type?: unknown }>(token, findKey, claims);
      const { exp, sub, type } = payload;
      if (type !== "access" || sub === undefined || exp === undefined) {
        return { isValid: false };
      }
      return { isValid: true, userId: sub, isActive: true, expiresAt: exp };
    } catch (error) {
      if (error instanceof errors.JOSEError) return { isValid: false };
      throw error;
    }
  };
}
