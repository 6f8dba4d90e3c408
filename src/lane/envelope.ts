import { Code, ConnectError } from "@connectrpc/connect";

/** Flag of an envelope whose message is compressed. */
export const compressedFlag = 0b0000_0001;

const headLength = 5;

/** A message as gRPC, gRPC-Web and Connect's streams send it: a byte of flags, four of length, the message. */
export function wrapInEnvelope(flags: number, message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headLength + message.length);
  bytes[0] = flags;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, headLength);
  return bytes;
}

/** Takes a request's messages apart as its bytes arrive. */
export interface EnvelopeReader {
  /** @throws ConnectError where an envelope is too large, or whatever `onMessage` throws */
  feed(chunk: Buffer): void;
  /** @throws ConnectError where the bytes end inside an envelope */
  end(): void;
}

/**
 * Creates a reader that hands over each message as soon as it is complete. It holds no more than the bytes of
 * the message at hand, and refuses one that claims more than `maxBytes` before any of it is kept.
 */
export function createEnvelopeReader(
  maxBytes: number,
  onMessage: (flags: number, message: Uint8Array) => void,
): EnvelopeReader {
  const head = Buffer.alloc(headLength);
  let headFilled = 0;
  let body: Buffer[] = [];
  let missing = 0;

  function readHead(chunk: Buffer, offset: number): number {
    const taken = Math.min(headLength - headFilled, chunk.length - offset);
    chunk.copy(head, headFilled, offset, offset + taken);
    headFilled += taken;
    if (headFilled === headLength) {
      missing = head.readUInt32BE(1);
      assertReadable(missing, maxBytes);
    }
    return offset + taken;
  }

  return {
    feed(chunk) {
      for (let offset = 0; offset < chunk.length; ) {
        if (headFilled < headLength) {
          offset = readHead(chunk, offset);
          if (headFilled < headLength) return;
        }
        const part = chunk.subarray(offset, offset + missing);
        offset += part.length;
        missing -= part.length;
        body.push(part);
        if (missing === 0) {
          const message = body.length === 1 ? part : Buffer.concat(body);
          body = [];
          headFilled = 0;
          onMessage(head[0] as number, message);
        }
      }
    },
    end() {
      if (headFilled > 0) {
        throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
      }
    },
  };
}

/** @throws ConnectError RESOURCE_EXHAUSTED where a message of so many bytes may not be read */
export function assertReadable(length: number, maxBytes: number): void {
  if (length > maxBytes) {
    throw new ConnectError(
      `message size ${length} is larger than configured readMaxBytes ${maxBytes}`,
      Code.ResourceExhausted,
    );
  }
}
