import { setImmediate } from "node:timers/promises";

/** Chunks of this size are worth a step each. */
const largeBytes = 1_024;

/** Small messages come in a few small chunks, and are not kept waiting. */
const freeChunks = 8;

/**
 * Reads a request's body so that many small chunks become few large ones: between two small ones it lets the next
 * gather in the request. connect-es takes a dozen steps for each chunk, and adds up all of a message's chunks at each:
 * a request of some hundred kilobytes, a byte in each chunk, would keep it busy for a minute.
 */
export async function* joinSmallChunks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let small = 0;
  for await (const chunk of chunks) {
    if (chunk.length < largeBytes && ++small > freeChunks) await setImmediate();
    yield chunk;
  }
}
