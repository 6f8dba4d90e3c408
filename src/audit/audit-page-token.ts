import { decodeOpaqueToken, encodeOpaqueToken } from "../platform/opaque-token.ts";
import type { AuditPosition } from "./audit-entry.ts";

/** First byte of every page token of the audit log: what it is and the version of its form. */
const auditPageTokenKind = 0x04;

/** Milliseconds and id, 8 bytes each. */
const payloadBytes = 16;

/** The furthest that a JavaScript date goes. */
const maxTimeMs = 8_640_000_000_000_000;

/** The token of the page that begins behind an entry. */
export function encodeAuditPageToken({ occurredAt, id }: AuditPosition): string {
  const payload = Buffer.alloc(payloadBytes);
  payload.writeBigInt64BE(BigInt(occurredAt.getTime()));
  payload.writeBigInt64BE(id, 8);
  return encodeOpaqueToken(auditPageTokenKind, payload);
}

/** Reads where the last entry seen stands; undefined where the text is no such page token. */
export function decodeAuditPageToken(token: string): AuditPosition | undefined {
  const payload = decodeOpaqueToken(auditPageTokenKind, token);
  if (payload?.length !== payloadBytes) {
    return undefined;
  }
  const timeMs = Number(payload.readBigInt64BE());
  return Math.abs(timeMs) <= maxTimeMs
    ? { occurredAt: new Date(timeMs), id: payload.readBigInt64BE(8) }
    : undefined;
}
