import { findPermissionViolation, sortedOnce } from "../access/role.ts";
import { InvalidInputError } from "../platform/errors.ts";
import { isStorableText } from "../platform/storable-text.ts";

/** An API key without its secret. */
export interface ApiKey {
  readonly id: string;
  /** What it is for. Several keys may have one name. */
  readonly name: string;
  /** The first characters of the key. */
  readonly display: string;
  /** Permissions, in alphabetical order, each once. */
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  /** Who created it: a principal's `actor`. */
  readonly createdBy: string;
  /** Undefined: it does not end by itself. */
  readonly expiresAt: Date | undefined;
  readonly revokedAt: Date | undefined;
  /** A minute more or less. */
  readonly lastUsedAt: Date | undefined;
  /** The id of the key that it was made to replace. */
  readonly replaces: string | undefined;
}

/** What somebody asks for who wants a key. */
export interface NewApiKey {
  readonly name: string;
  readonly scopes: readonly string[];
  /** Undefined: until it is revoked. */
  readonly timeToLiveMs: number | undefined;
  readonly createdBy: string;
}

const maxNameLength = 100;
const maxScopes = 100;
/** Ten years. */
export const maxTimeToLiveMs = 315_576_000_000;
/** One year. */
export const maxGraceMs = 31_557_600_000;

/**
 * Makes a key of what was asked for.
 *
 * @throws InvalidInputError that names each field at fault
 */
export function createApiKey(input: NewApiKey, id: string, display: string, now: Date): ApiKey {
  const violations = [
    findNameViolation(input.name),
    ...input.scopes.map((scope, index) => findPermissionViolation(scope, `scopes[${index}]`)),
    input.scopes.length > maxScopes
      ? { field: "scopes", description: `must be at most ${maxScopes}`, reason: "scopes" }
      : undefined,
  ].filter((violation) => violation !== undefined);
  if (violations.length > 0) throw new InvalidInputError(violations);
  return {
    id,
    name: input.name,
    display,
    scopes: sortedOnce(input.scopes),
    createdAt: now,
    createdBy: input.createdBy,
    expiresAt: input.timeToLiveMs === undefined ? undefined : new Date(now.getTime() + input.timeToLiveMs),
    revokedAt: undefined,
    lastUsedAt: undefined,
    replaces: undefined,
  };
}

/** Whether the key is good for nothing any more. */
export function hasEnded(key: Pick<ApiKey, "expiresAt" | "revokedAt">, now: Date): boolean {
  return key.revokedAt !== undefined || (key.expiresAt !== undefined && key.expiresAt <= now);
}

/** The key as it is revoked; the very same one where it is already. */
export function revokeApiKey(key: ApiKey, now: Date): ApiKey {
  return key.revokedAt === undefined ? { ...key, revokedAt: now } : key;
}

/** Who replaces a key, and for how long both are good. */
export interface Rotation {
  readonly graceMs: number;
  readonly createdBy: string;
}

/**
 * The key that takes the place of another one that has not ended: with its name, its scopes and its expiry, so that a
 * rotation never makes more of it.
 */
export function replaceApiKey(
  key: ApiKey,
  { createdBy }: Rotation,
  id: string,
  display: string,
  now: Date,
): ApiKey {
  return {
    ...key,
    id,
    display,
    createdAt: now,
    createdBy,
    lastUsedAt: undefined,
    replaces: key.id,
  };
}

/**
 * The key that was replaced: it ends after the grace period, or before that by itself. Without such a period it is
 * revoked: that works within a second everywhere, whatever the clocks of other machines say.
 */
export function retireApiKey(key: ApiKey, { graceMs }: Rotation, now: Date): ApiKey {
  const graceEnd = new Date(now.getTime() + graceMs);
  const expiresAt = key.expiresAt !== undefined && key.expiresAt < graceEnd ? key.expiresAt : graceEnd;
  return { ...key, expiresAt, revokedAt: graceMs === 0 ? now : undefined };
}

/** The length is counted as PostgreSQL and the .proto file count it: in code points. */
function findNameViolation(name: string) {
  const length = [...name].length;
  return length >= 1 && length <= maxNameLength && isStorableText(name)
    ? undefined
    : {
        field: "name",
        description: `must be 1 to ${maxNameLength} characters of well-formed text without U+0000`,
        reason: "text",
      };
}
