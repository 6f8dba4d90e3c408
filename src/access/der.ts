/** One value of DER: its tag and the bytes of its contents. */
export interface DerValue {
  readonly tag: number;
  readonly contents: Buffer;
}

/** Bytes that are not DER, as far as it is read here. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/**
 * Splits bytes into the values that they consist of (X.690, section 10: definite lengths, in as few bytes as they
 * take; so that no two readers see different values in the same bytes). Long tags do not occur where this is used.
 *
 * @throws DerError
 */
export function readDerValues(bytes: Buffer): readonly DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = byteAt(bytes, at);
    if ((tag & 0x1f) === 0x1f) throw new DerError("a long tag");
    const { length, begin } = readLength(bytes, at + 1);
    const end = begin + length;
    if (end > bytes.length) throw new DerError("a value that is longer than what it is part of");
    values.push({ tag, contents: bytes.subarray(begin, end) });
    at = end;
  }
  return values;
}

function readLength(bytes: Buffer, at: number): { length: number; begin: number } {
  const first = byteAt(bytes, at);
  if (first < 0x80) return { length: first, begin: at + 1 };
  const size = first & 0x7f;
  if (size === 0 || size > 4) throw new DerError("an indefinite length, or one beyond all measure");
  const begin = at + 1 + size;
  if (begin > bytes.length) throw new DerError("a length that is cut off");
  const length = bytes.readUIntBE(at + 1, size);
  if (length < 0x80 || length < 2 ** (8 * (size - 1))) throw new DerError("a length in too many bytes");
  return { length, begin };
}

function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new DerError("a value that is cut off");
  return byte;
}
