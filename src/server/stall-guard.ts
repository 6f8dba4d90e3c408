import http2 from "node:http2";
import { createStallWatch, type Reader } from "../lane/stall-watch.ts";
import type { RequestListener } from "./one-port.ts";

type Response = Parameters<RequestListener>[1];

/** Watches answers whose reader may stop reading. */
export interface StallGuard {
  /**
   * Passes a response's body on and watches how it is taken: who writes it asks for the next chunk only when
   * the last has been taken.
   */
  watch(response: Response, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  close(): void;
}

/**
 * Ends responses whose peer takes no bytes for `timeoutMs` while bytes wait for it.
 *
 * Over HTTP/2 the stream is reset with ENHANCE_YOUR_CALM, which gRPC maps to RESOURCE_EXHAUSTED: a reset gets
 * through where trailers would wait behind the bytes that nobody reads. HTTP/1.1 has no such signal beside
 * its body, so the connection is closed.
 */
export function createStallGuard(timeoutMs: number): StallGuard {
  const stalls = createStallWatch(timeoutMs);

  async function* watch(response: Response, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const reader = toReader(response);
    response.once("close", () => stalls.taken(reader));
    try {
      for await (const chunk of body) {
        stalls.waiting(reader);
        yield chunk;
        stalls.taken(reader);
      }
    } finally {
      // The end of the answer waits to be taken, too.
      if (!response.destroyed) stalls.waiting(reader);
    }
  }

  return { watch, close: stalls.close };
}

function toReader(response: Response): Reader {
  return {
    /** What the peer (HTTP/2) or the kernel (HTTP/1.1) has not taken yet. */
    get pendingBytes() {
      return response.stream ? response.stream.writableLength : response.writableLength;
    },
    cutOff() {
      if (response.stream) {
        response.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      } else {
        response.destroy();
      }
    },
  };
}
