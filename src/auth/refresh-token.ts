import { createHash, randomBytes } from "node:crypto";

/** So that whoever finds one in a log or a repository can tell what it is. */
const prefix = "ubr_";
const secretBytes = 32;
/** 43 characters of base64url; the last one has two bits to spare, which are zero. */
const tokenPattern = /^ubr_[\w-]{42}[AEIMQUYcgkosw048]$/;

/** A refresh token and what is stored of it. */
export interface MintedRefreshToken {
  readonly token: string;
  readonly hash: Buffer;
}

/** Makes a new token of 256 random bits. */
export function mintRefreshToken(): MintedRefreshToken {
  const token = prefix + randomBytes(secretBytes).toString("base64url");
  return { token, hash: hash(token) };
}

/** What the token is stored as; undefined where the text is no refresh token. */
export function hashRefreshToken(text: string): Buffer | undefined {
  return tokenPattern.test(text) ? hash(text) : undefined;
}

/** A fast hash will do: nobody can try 2^256 tokens. */
function hash(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** What the database knows of a refresh token. Times are Unix milliseconds. */
export interface RefreshTokenRecord {
  readonly familyId: string;
  readonly userId: string;
  /** The account's when the family began. */
  readonly tokenEpoch: number;
  readonly expiresAtMs: number;
  readonly isUsed: boolean;
  readonly isRevoked: boolean;
}

/**
 * What a token is good for: a new one; for the knowledge that somebody else has it, too, so that the whole family has
 * to end; or for nothing.
 */
export function judgeRefreshToken(
  record: RefreshTokenRecord | undefined,
  nowMs: number,
): "good" | "replayed" | "useless" {
  if (record === undefined || record.isRevoked || record.expiresAtMs <= nowMs) {
    return "useless";
  }
  return record.isUsed ? "replayed" : "good";
}
