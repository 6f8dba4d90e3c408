import { Code, ConnectError } from "@connectrpc/connect";

/** Smaller messages cannot hold enough to matter. */
const smallBytes = 16 * 1_024;

/**
 * Fields, list items and map entries of one message: fifty times as many as any request of ours can use. Decoding takes
 * up to a microsecond for each, in which nobody else is served.
 */
const maxElements = 50_000;

/**
 * Refuses a large message that is made of very many small parts: four megabytes of empty list items, map entries or
 * unknown fields take seconds and hundreds of megabytes to decode. What a message is made of is counted in
 * milliseconds. It is not checked otherwise: that is the decoder's business.
 *
 * @throws ConnectError INVALID_ARGUMENT
 */
export function assertFewParts(bytes: Uint8Array, encoding: "binary" | "json"): void {
  if (bytes.length <= smallBytes) return;
  const hasFew = encoding === "json" ? hasFewJsonParts(bytes) : hasFewFields(bytes);
  if (hasFew) return;
  throw new ConnectError(
    `the message has more than ${maxElements} fields, items and entries: send less at once`,
    Code.InvalidArgument,
  );
}

/**
 * The same for a message of which only the bytes are known: counted both ways, since whoever sends it can make either
 * look like the other. What is large and in few parts may be taken for many; no contract has such JSON.
 */
export function assertFewPartsOfAny(bytes: Uint8Array): void {
  assertFewParts(bytes, "json");
  assertFewParts(bytes, "binary");
}

/**
 * One for each byte that begins a value or parts two: `,` `:` `[` and `{`. In a text they count as well, since a text
 * can be a list: a field mask is one.
 */
const partsOfByte = new Uint8Array(256);
for (const text of ",:[{") partsOfByte[text.charCodeAt(0)] = 1;

function hasFewJsonParts(bytes: Uint8Array): boolean {
  let parts = 0;
  for (let at = 0; at < bytes.length; at++) parts += partsOfByte[bytes[at] as number] as number;
  // Before each field's value there are two.
  return parts <= 2 * maxElements;
}

/** Counts the outermost fields. Where the bytes make no sense, the decoder will say so. */
function hasFewFields(bytes: Uint8Array): boolean {
  let at = 0;
  let value = 0;

  function readVarint(): void {
    value = 0;
    for (let factor = 1; at < bytes.length; factor *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * factor;
      if (byte < 128) return;
    }
  }

  for (let parts = 0; at < bytes.length; parts++) {
    if (parts > maxElements) return false;
    readVarint();
    const wireType = value % 8;
    if (wireType === 0 || wireType === 2) readVarint();
    if (wireType === 1) at += 8;
    if (wireType === 2) at += value;
    if (wireType === 5) at += 4;
  }
  return true;
}
