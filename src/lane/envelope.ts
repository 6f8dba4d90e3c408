import { Code, ConnectError } from "@connectrpc/connect";
import { ChunkList } from "./chunk-list.ts";

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

/** Takes messages with their envelopes' flags. */
export interface EnvelopeTaker {
  takeEnvelope(flags: number, message: Uint8Array): void;
}

/**
 * Takes a request's messages apart as its bytes arrive, and hands each over as soon as it is complete. It holds no
 * more than the bytes of the message at hand, and refuses one that claims more than `maxBytes` before any of it is
 * kept.
 */
export class EnvelopeReader {
  readonly #maxBytes: number;
  readonly #taker: EnvelopeTaker;
  /** An envelope's first five bytes, where they came in pieces; empty between two envelopes. */
  #head: Buffer = empty;
  #flags: number | undefined;
  #missing = 0;
  #parts: ChunkList | undefined;

  constructor(maxBytes: number, taker: EnvelopeTaker) {
    this.#maxBytes = maxBytes;
    this.#taker = taker;
  }

  /** @throws ConnectError where an envelope is too large, or whatever the taker throws */
  feed(chunk: Buffer): void {
    let rest = chunk;
    do {
      if (this.#flags === undefined) {
        rest = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
        if (rest.length < headLength) {
          this.#head = rest;
          return;
        }
        this.#head = empty;
        this.#flags = rest[0] as number;
        this.#missing = rest.readUInt32BE(1);
        const error = refuseLength(this.#missing, this.#maxBytes);
        if (error !== undefined) throw error;
        rest = rest.subarray(headLength);
      }
      rest = this.#takeBody(this.#flags, rest);
    } while (rest.length > 0);
  }

  /** @throws ConnectError where the bytes end inside an envelope */
  end(): void {
    if (this.#flags !== undefined || this.#head.length > 0) {
      throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
    }
  }

  /** @returns what is left of the bytes */
  #takeBody(flags: number, bytes: Buffer): Buffer {
    const part = bytes.length > this.#missing ? bytes.subarray(0, this.#missing) : bytes;
    this.#missing -= part.length;
    if (this.#missing > 0 || this.#parts !== undefined) {
      this.#parts ??= new ChunkList();
      this.#parts.add(part);
    }
    if (this.#missing === 0) {
      const message = this.#parts === undefined ? part : this.#parts.toBuffer();
      this.#parts = undefined;
      this.#flags = undefined;
      this.#taker.takeEnvelope(flags, message);
    }
    return bytes.subarray(part.length);
  }
}

const empty = Buffer.alloc(0);

/** RESOURCE_EXHAUSTED where a message of so many bytes may not be read. */
export function refuseLength(length: number, maxBytes: number): ConnectError | undefined {
  return length > maxBytes
    ? new ConnectError(
        `message size ${length} is larger than configured readMaxBytes ${maxBytes}`,
        Code.ResourceExhausted,
      )
    : undefined;
}
