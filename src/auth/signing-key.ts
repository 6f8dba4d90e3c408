/** An Ed25519 public key as a JWKS has it (RFC 7517, RFC 8037). */
export interface PublicJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly alg: "EdDSA";
  readonly use: "sig";
  readonly kid: string;
  readonly x: string;
}

/** What is known of a signing key beside its secret. Times are Unix milliseconds. */
export interface SigningKeyRecord {
  /** The key's RFC 7638 thumbprint. */
  readonly kid: string;
  readonly publicJwk: PublicJwk;
  readonly createdAtMs: number;
  /** It has been published since its creation; this is when it takes over. */
  readonly signsFromMs: number;
  /** From when on it is good for nothing; undefined while nothing has replaced it. */
  readonly retiresAtMs: number | undefined;
}

/** How long keys live, in milliseconds. */
export interface SigningKeyTimes {
  /** How long a key signs; undefined means until somebody rotates by hand. */
  readonly rotationMs: number | undefined;
  /** How long a key is published before it signs. */
  readonly leadMs: number;
  /** No token lives longer. */
  readonly longestTokenMs: number;
}

/** How long a machine's token lives. */
export const serviceTokenTtlMs = 3_600_000;

/**
 * istiod fetches a JWKS anew every 20 minutes (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL's default), other verifiers keep it
 * for its max-age, which is less.
 */
export const defaultLeadMs = 30 * 60_000;

/** The times that follow from what is configured. */
export function toSigningKeyTimes(settings: {
  readonly accessTtlMs: number;
  readonly keyRotationMs?: number;
}): SigningKeyTimes {
  return {
    rotationMs: settings.keyRotationMs,
    leadMs: defaultLeadMs,
    longestTokenMs: Math.max(settings.accessTtlMs, serviceTokenTtlMs),
  };
}

/** Clocks of replicas may differ by this much. */
export const clockToleranceMs = 60_000;

/** Whether a token that the key signed may still be good. */
export function isRetired(key: SigningKeyRecord, nowMs: number): boolean {
  return key.retiresAtMs !== undefined && key.retiresAtMs <= nowMs;
}

/**
 * The key that signs now: of those that may, the newest. Where the only keys begin later, by the clock of the
 * process that made them, it is the first of them.
 */
export function findSigner<Key extends SigningKeyRecord>(
  keys: readonly Key[],
  nowMs: number,
): Key | undefined {
  const good = keys.filter((key) => !isRetired(key, nowMs)).toSorted(compareKeys);
  return good.findLast((key) => key.signsFromMs <= nowMs) ?? good[0];
}

/** The keys that sign now or will sign: those whose secret a process needs. */
export function findSigners<Key extends SigningKeyRecord>(keys: readonly Key[], nowMs: number): Key[] {
  const signer = findSigner(keys, nowMs);
  return keys.filter(
    (key) => signer !== undefined && !isRetired(key, nowMs) && compareKeys(key, signer) >= 0,
  );
}

/** Whether it is time to publish the next key, so that it can take over when the newest one's time is over. */
export function isRotationDue(
  keys: readonly SigningKeyRecord[],
  { rotationMs, leadMs }: SigningKeyTimes,
  nowMs: number,
): boolean {
  const newest = keys
    .filter((key) => !isRetired(key, nowMs))
    .toSorted(compareKeys)
    .at(-1);
  return (
    newest === undefined || (rotationMs !== undefined && newest.signsFromMs + rotationMs - leadMs <= nowMs)
  );
}

/** When a key that is replaced at a time retires: after the last token that it may have signed. */
export function retirementAfter(replacedAtMs: number, times: SigningKeyTimes): number {
  return replacedAtMs + times.longestTokenMs + clockToleranceMs;
}

function compareKeys(one: SigningKeyRecord, other: SigningKeyRecord): number {
  return (
    one.signsFromMs - other.signsFromMs ||
    one.createdAtMs - other.createdAtMs ||
    (one.kid < other.kid ? -1 : 1)
  );
}
