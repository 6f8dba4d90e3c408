import { createHash } from "node:crypto";

const checksumBytes = 4;

/**
 * Packs bytes into a token that callers hand back unread: a kind, the bytes and a checksum, in base64url. The
 * checksum finds typing and truncation, not forgery: a token carries nothing that its caller may not know.
 */
export function encodeOpaqueToken(kind: number, payload: Uint8Array): string {
  const body = Buffer.concat([Uint8Array.of(kind), payload]);
  return Buffer.concat([body, checksum(body)]).toString("base64url");
}

/** Unpacks a token of this kind; undefined where the text is anything else, also an altered or padded one. */
export function decodeOpaqueToken(kind: number, token: string): Buffer | undefined {
  const bytes = Buffer.from(token, "base64url");
  const body = bytes.subarray(0, -checksumBytes);
  const valid =
    bytes.length > checksumBytes &&
    bytes.toString("base64url") === token &&
    body[0] === kind &&
    checksum(body).equals(bytes.subarray(-checksumBytes));
  return valid ? body.subarray(1) : undefined;
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest().subarray(0, checksumBytes);
}
