import type { Message } from "@bufbuild/protobuf";
import type { Codec } from "./codec.ts";
import { wrapInEnvelope } from "./envelope.ts";

/** Messages as they are sent: one behind the other, each in its envelope. */
export interface Encoded {
  readonly bytes: Buffer;
  /** The length of the longest message, in bytes without its envelope. */
  readonly longest: number;
}

const shared = new WeakMap<object, Map<Codec, Encoded>>();

/**
 * Promises that a message, or a burst of messages, will never change from now on, and goes to many: it is
 * encoded once a format, and all streams that send it share the bytes for as long as the object itself lives.
 */
export function encodeOnce<T extends Message | readonly Message[]>(constant: T): T {
  if (!shared.has(constant)) shared.set(constant, new Map());
  return constant;
}

/** Encodes messages, or finds them encoded. @throws ConnectError as the codec does */
export function encodeBurst(codec: Codec, burst: readonly Message[]): Encoded {
  return remember(codec, burst, () => {
    const parts = burst.map((message) => remember(codec, message, () => encode(codec, message)));
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) return first;
    return {
      bytes: Buffer.concat(parts.map((part) => part.bytes)),
      longest: parts.reduce((longest, part) => Math.max(longest, part.longest), 0),
    };
  });
}

function encode(codec: Codec, message: Message): Encoded {
  const bytes = codec.encode(message);
  return { bytes: wrapInEnvelope(0, bytes), longest: bytes.length };
}

function remember(codec: Codec, key: object, make: () => Encoded): Encoded {
  const known = shared.get(key);
  let encoded = known?.get(codec);
  if (encoded === undefined) {
    encoded = make();
    if (known !== undefined) {
      encoded = { ...encoded, bytes: ownMemory(encoded.bytes) };
      known.set(codec, encoded);
    }
  }
  return encoded;
}

/**
 * The bytes in memory of their own. Node cuts small buffers out of large ones (`Buffer.poolSize`, 64 KiB), and each keeps
 * all of its large one: a few hundred bytes for every event that is remembered would add up to gigabytes.
 */
function ownMemory(bytes: Buffer): Buffer {
  if (bytes.length === bytes.buffer.byteLength) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
