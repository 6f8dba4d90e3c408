import { parse as parseUuid, stringify as stringifyUuid } from "uuid";
import { decodeOpaqueToken, encodeOpaqueToken } from "../platform/opaque-token.ts";

/** First byte of every page token: what it is and the version of its form. */
const pageTokenKind = 0x02;

const uuidBytes = 16;

/** The token of the page that begins behind a user. */
export function encodePageToken(lastUserId: string): string {
  return encodeOpaqueToken(pageTokenKind, parseUuid(lastUserId));
}

/** Reads the id of the last user seen; undefined where the text is no page token. */
export function decodePageToken(token: string): string | undefined {
  const payload = decodeOpaqueToken(pageTokenKind, token);
  if (payload?.length !== uuidBytes) {
    return undefined;
  }
  try {
    return stringifyUuid(payload);
  } catch {
    return undefined;
  }
}
