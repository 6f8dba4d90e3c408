/** The first chunks are kept as they are: ordinary messages come in one or two. */
const keptChunks = 8;

/** Chunks of this size are worth an object each. */
const largeBytes = 1_024;

const blockBytes = 16 * 1_024;

/**
 * Collects the bytes of a message. A peer may send it in chunks of one byte, each of which is an object of a hundred
 * bytes: after the first few, small chunks are copied into blocks, so that what is held is what has been sent.
 */
export class ChunkList {
  readonly #chunks: Buffer[] = [];
  #block: Buffer | undefined;
  #blockLength = 0;
  /** In all, in bytes. */
  length = 0;

  add(chunk: Buffer): void {
    this.length += chunk.length;
    if (this.#chunks.length < keptChunks || chunk.length >= largeBytes) {
      this.#endBlock();
      this.#chunks.push(chunk);
      return;
    }
    if (this.#block !== undefined && this.#blockLength + chunk.length > blockBytes) this.#endBlock();
    this.#block ??= Buffer.allocUnsafeSlow(blockBytes);
    this.#block.set(chunk, this.#blockLength);
    this.#blockLength += chunk.length;
  }

  /** All that has been added, in one. */
  toBuffer(): Buffer {
    this.#endBlock();
    const [first] = this.#chunks;
    return this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
  }

  #endBlock(): void {
    if (this.#block === undefined) return;
    this.#chunks.push(this.#block.subarray(0, this.#blockLength));
    this.#block = undefined;
    this.#blockLength = 0;
  }
}
