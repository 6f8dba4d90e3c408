import http2 from "node:http2";
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

/** How often a stall is looked for within its timeout: a stalled stream outlives it by at most a quarter. */
const looksPerTimeout = 4;

interface Watched {
  /** Since when the last chunk has waited to be taken; undefined while the reader waits for us. */
  waitingSince: number | undefined;
  pendingBytes: number;
}

/**
 * Ends responses whose peer takes no bytes for `timeoutMs` while bytes wait for it.
 *
 * Over HTTP/2 the stream is reset with ENHANCE_YOUR_CALM, which gRPC maps to RESOURCE_EXHAUSTED: a reset gets
 * through where trailers would wait behind the bytes that nobody reads. HTTP/1.1 has no such signal beside
 * its body, so the connection is closed.
 */
export function createStallGuard(timeoutMs: number): StallGuard {
  const watched = new Map<Response, Watched>();
  const timer = setInterval(look, timeoutMs / looksPerTimeout);
  timer.unref();

  function look(): void {
    const now = performance.now();
    for (const [response, seen] of watched) {
      if (seen.waitingSince === undefined || now - seen.waitingSince < timeoutMs) {
        continue;
      }
      const pendingBytes = countPendingBytes(response);
      if (pendingBytes === seen.pendingBytes) {
        watched.delete(response);
        end(response);
      } else {
        // A slow reader is no stalled one.
        seen.pendingBytes = pendingBytes;
        seen.waitingSince = now;
      }
    }
  }

  async function* watch(response: Response, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const seen: Watched = { waitingSince: undefined, pendingBytes: 0 };
    watched.set(response, seen);
    response.once("close", () => watched.delete(response));
    try {
      for await (const chunk of body) {
        seen.waitingSince = performance.now();
        seen.pendingBytes = 0;
        yield chunk;
        seen.waitingSince = undefined;
      }
    } finally {
      // The end of the answer waits to be taken, too.
      seen.waitingSince = performance.now();
    }
  }

  return { watch, close: () => clearInterval(timer) };
}

/** Bytes that were written and that the peer (HTTP/2) or the kernel (HTTP/1.1) has not taken yet. */
function countPendingBytes(response: Response): number {
  return response.stream ? response.stream.writableLength : response.writableLength;
}

function end(response: Response): void {
  if (response.stream) {
    response.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  } else {
    response.destroy();
  }
}
