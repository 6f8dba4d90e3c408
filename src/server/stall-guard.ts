import http2 from "node:http2";
import type { RequestListener } from "./one-port.ts";

type Response = Parameters<RequestListener>[1];

/** Watches responses whose reader may stop reading. */
export interface StallGuard {
  /** Watches a response until it closes. */
  watch(response: Response): void;
  close(): void;
}

/** How often a stall is looked for within its timeout: a stalled stream outlives it by at most a quarter. */
const looksPerTimeout = 4;

/**
 * Ends responses whose peer takes no bytes for `timeoutMs` while bytes wait for it.
 *
 * Over HTTP/2 the stream is reset with ENHANCE_YOUR_CALM, which gRPC maps to RESOURCE_EXHAUSTED: a reset gets
 * through where trailers would wait behind the bytes that nobody reads. HTTP/1.1 has no such signal beside
 * its body, so the connection is closed.
 */
export function createStallGuard(timeoutMs: number): StallGuard {
  const watched = new Map<Response, { pending: number; since: number }>();
  const timer = setInterval(look, timeoutMs / looksPerTimeout);
  timer.unref();

  function look(): void {
    const now = performance.now();
    for (const [response, seen] of watched) {
      const pending = pendingBytes(response);
      if (pending === 0 || pending !== seen.pending) {
        seen.pending = pending;
        seen.since = now;
      } else if (now - seen.since >= timeoutMs) {
        watched.delete(response);
        end(response);
      }
    }
  }

  return {
    watch(response) {
      watched.set(response, { pending: 0, since: performance.now() });
      response.once("close", () => watched.delete(response));
    },
    close: () => clearInterval(timer),
  };
}

/** Bytes that were written and that the peer (HTTP/2) or the kernel (HTTP/1.1) has not taken yet. */
function pendingBytes(response: Response): number {
  // A response stops being written to once its buffer is full, so a stalled one has a constant length.
  return response.stream ? response.stream.writableLength : response.writableLength;
}

function end(response: Response): void {
  if (response.stream) {
    response.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  } else {
    response.destroy();
  }
}
