import { randomUUID } from "node:crypto";
import type { CryptoKey, JWTPayload } from "jose";
// Not from "jose": a start would load its whole encryption half with it.
import { decodeProtectedHeader } from "jose/decode/protected_header";
import * as errors from "jose/errors";
import { SignJWT } from "jose/jwt/sign";
import { jwtVerify } from "jose/jwt/verify";
import type { Account } from "../users/account.ts";
import { normalizeUserId } from "../users/user.ts";
import { clockToleranceMs, serviceTokenTtlMs } from "./signing-key.ts";
import type { SigningKeyRing } from "./signing-key-ring.ts";

/** What is written into tokens, and asked of them. */
export interface AccessTokenSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly accessTtlMs: number;
}

/** What a good signature and good claims say. Whether the account still is what it was, they do not. */
export interface VerifiedToken {
  /** The claim `jti`: names the token, and is no secret. */
  readonly id: string;
  readonly kid: string;
  readonly userId: string;
  readonly tokenEpoch: number;
  readonly expiresAtMs: number;
  /** Unix seconds. */
  readonly expiresAt: bigint;
}

/** Signs tokens and checks them. */
export interface AccessTokens {
  /** An access token for the account as it is. @throws NoSigningKeyError */
  issue(account: Pick<Account, "id" | "tokenEpoch">): Promise<string>;
  /** A token for a machine. @throws NoSigningKeyError */
  issueForService(name: string): Promise<string>;
  /**
   * What an access token says; undefined where the text is no good access token, for whatever reason.
   *
   * @throws the database's error where the token names a key that might have been made just now
   */
  verify(token: string): Promise<VerifiedToken | undefined>;
}

const algorithm = "EdDSA";
const tokenType = "JWT";

/** A cheap first look: an issuer and an audience of any reasonable length fit. */
const maxTokenLength = 4_096;

/**
 * The compact form of a JWS, with a signature of 64 bytes. Its last character has four bits to spare, which decoders
 * drop: only one form of each token is good.
 */
const tokenPattern = /^[\w-]+\.[\w-]+\.[\w-]{85}[AQgw]$/;

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Creates the signer and checker. `now` gives Unix milliseconds. */
export function createAccessTokens(
  keys: SigningKeyRing,
  { issuer, audience, accessTtlMs }: AccessTokenSettings,
  now: () => number = Date.now,
): AccessTokens {
  function sign(subject: string, ttlMs: number, claims: JWTPayload): Promise<string> {
    const { kid, privateKey } = keys.signer();
    const issuedAt = Math.floor(now() / 1_000);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, kid, typ: tokenType })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + Math.floor(ttlMs / 1_000))
      .setJti(randomUUID())
      .sign(privateKey);
  }

  async function findKey(kid: string): Promise<CryptoKey | undefined> {
    const key = keys.find(kid);
    if (key !== undefined) {
      return key;
    }
    await keys.lookAgain();
    return keys.find(kid);
  }

  return {
    issue: async ({ id, tokenEpoch }) => sign(id, accessTtlMs, { type: "access", epoch: tokenEpoch }),
    issueForService: async (name) => sign(name, serviceTokenTtlMs, { type: "service" }),
    async verify(token) {
      const kid = readKid(token);
      const key = kid === undefined ? undefined : await findKey(kid);
      if (kid === undefined || key === undefined) {
        return undefined;
      }
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          typ: tokenType,
          issuer,
          audience,
          currentDate: new Date(now()),
        });
        return readClaims(payload, kid, now());
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}

/** The id of the key that a token names; undefined where it cannot be one of our tokens. */
function readKid(token: string): string | undefined {
  if (token.length > maxTokenLength || !tokenPattern.test(token)) {
    return undefined;
  }
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    return alg === algorithm && typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** Also what we have signed ourselves is good only in the very form in which we make it. */
function readClaims(claims: JWTPayload, kid: string, nowMs: number): VerifiedToken | undefined {
  const { sub, aud, jti, iat, exp } = claims;
  const { type, epoch } = claims;
  const isAccessToken =
    type === "access" &&
    typeof aud === "string" &&
    typeof sub === "string" &&
    normalizeUserId(sub) === sub &&
    typeof jti === "string" &&
    uuidPattern.test(jti) &&
    isWholeNumber(epoch) &&
    isWholeNumber(iat) &&
    iat * 1_000 <= nowMs + clockToleranceMs &&
    isWholeNumber(exp) &&
    exp > iat;
  return isAccessToken
    ? { id: jti, kid, userId: sub, tokenEpoch: epoch, expiresAtMs: exp * 1_000, expiresAt: BigInt(exp) }
    : undefined;
}

function isWholeNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
