import { parse as parseUuid, stringify as stringifyUuid } from "uuid";
import { decodeOpaqueToken, encodeOpaqueToken } from "../platform/opaque-token.ts";

/** A place in one database's log: behind the event with this revision. */
export interface Cursor {
  /** The database that numbered the revision; another one's revisions mean something else. */
  readonly databaseId: string;
  readonly revision: bigint;
}

/** First byte of every cursor: what it is and the version of its form. */
const cursorKind = 0x01;

const uuidBytes = 16;
const revisionBytes = 8;

/** The cursor as callers keep it: 39 characters of base64url. */
export function encodeCursor(cursor: Cursor): string {
  const payload = Buffer.alloc(uuidBytes + revisionBytes);
  payload.set(parseUuid(cursor.databaseId));
  payload.writeBigInt64BE(cursor.revision, uuidBytes);
  return encodeOpaqueToken(cursorKind, payload);
}

/** Reads a cursor back; undefined where the text is none. */
export function decodeCursor(text: string): Cursor | undefined {
  const payload = decodeOpaqueToken(cursorKind, text);
  if (payload?.length !== uuidBytes + revisionBytes) {
    return undefined;
  }
  const revision = payload.readBigInt64BE(uuidBytes);
  try {
    return revision < 0n
      ? undefined
      : { databaseId: stringifyUuid(payload.subarray(0, uuidBytes)), revision };
  } catch {
    return undefined;
  }
}
