import { type ApiKey, hasEnded } from "../api-keys/api-key.ts";

/** A key in one line. The name, which can hold anything, comes last and in JSON. */
export function describeApiKey(key: ApiKey, now: Date): string {
  return [
    key.id,
    key.display,
    describeState(key, now),
    key.lastUsedAt?.toISOString() ?? "-",
    key.expiresAt?.toISOString() ?? "-",
    key.scopes.join(",") || "-",
    JSON.stringify(key.name),
  ].join("  ");
}

/** When a key ends, for people. */
export function describeEnd(key: ApiKey): string {
  if (key.revokedAt !== undefined) return "revoked";
  return key.expiresAt === undefined
    ? "good until it is revoked"
    : `good until ${key.expiresAt.toISOString()}`;
}

function describeState(key: ApiKey, now: Date): string {
  if (key.revokedAt !== undefined) return "revoked";
  return hasEnded(key, now) ? "expired" : "good   ";
}
