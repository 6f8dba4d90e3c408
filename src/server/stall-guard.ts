import http2 from "node:http2";
import type { Awaited } from "../lane/patience.ts";
import { createStallWatch, type Reader } from "../lane/stall-watch.ts";
import { queuedBytes } from "../lane/write-queue.ts";
import type { RequestListener } from "./connections/listeners.ts";

type Response = Parameters<RequestListener>[1];

/** Watches answers whose reader may stop reading. */
export interface StallGuard {
  /** Watches how an answer is taken, whatever it is: called once for each, before it is made. */
  guard(response: Response): void;
  /**
   * Passes a response's body on: with each of its parts, its reader has the time anew. Who writes it asks for the
   * next part only when the last has been taken.
   */
  watch(response: Response, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** How many answers have been ended. */
  readonly cutOff: number;
  close(): void;
}

const readerOf = Symbol("reader");

type GuardedResponse = Response & { [readerOf]?: AnswerReader };

/**
 * Ends responses whose peer takes no bytes for `timeoutMs` while bytes wait for it.
 *
 * Over HTTP/2 the stream is reset with ENHANCE_YOUR_CALM, which gRPC maps to RESOURCE_EXHAUSTED: a reset gets
 * through where trailers would wait behind the bytes that nobody reads. HTTP/1.1 has no such signal beside
 * its body, so the connection is closed.
 */
export function createStallGuard(timeoutMs: number): StallGuard {
  const stalls = createStallWatch(timeoutMs);

  async function* watch(
    response: GuardedResponse,
    body: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      const reader = response[readerOf];
      if (reader?.isGone === false) stalls.waiting(reader);
      yield chunk;
    }
  }

  return {
    guard(response: GuardedResponse) {
      const reader = new AnswerReader(response);
      response[readerOf] = reader;
      stalls.waiting(reader);
      response.once("close", () => {
        reader.isGone = true;
        stalls.taken(reader);
      });
    },
    watch,
    get cutOff() {
      return stalls.cutOff;
    },
    close: stalls.close,
  };
}

class AnswerReader implements Reader {
  awaitedBefore: Awaited | undefined = undefined;
  awaitedAfter: Awaited | undefined = undefined;
  isGone = false;
  readonly #response: Response;

  constructor(response: Response) {
    this.#response = response;
  }

  /** What the peer (HTTP/2) or the kernel (HTTP/1.1) has not taken yet. */
  get pendingBytes(): number {
    const { stream, socket, writableLength } = this.#response;
    if (stream !== undefined) return stream.writableLength;
    // One that was asked for behind another has no socket until that is sent: its reader cannot take it yet.
    return socket === null ? 0 : writableLength;
  }

  get queuedBytes(): number {
    const { stream, socket } = this.#response;
    if (stream === undefined) return queuedBytes(socket);
    const { session } = stream;
    return session === undefined || session.destroyed ? 0 : queuedBytes(session.socket);
  }

  cutOff(): void {
    if (this.#response.stream) {
      this.#response.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    } else {
      this.#response.destroy();
    }
  }
}
