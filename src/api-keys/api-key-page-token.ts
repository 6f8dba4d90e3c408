import { parse as parseUuid, stringify as stringifyUuid } from "uuid";
import { decodeOpaqueToken, encodeOpaqueToken } from "../platform/opaque-token.ts";

/** First byte of every such token: what it is and the version of its form. */
const pageTokenKind = 0x03;

const uuidBytes = 16;

/** The token of the page that begins behind a key. */
export function encodeApiKeyPageToken(lastId: string): string {
  return encodeOpaqueToken(pageTokenKind, parseUuid(lastId));
}

/** Reads the id of the last key seen; undefined where the text is no page token of keys. */
export function decodeApiKeyPageToken(token: string): string | undefined {
  const payload = decodeOpaqueToken(pageTokenKind, token);
  if (payload?.length !== uuidBytes) return undefined;
  try {
    return stringifyUuid(payload);
  } catch {
    return undefined;
  }
}
