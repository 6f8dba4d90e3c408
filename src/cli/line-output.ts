import { once } from "node:events";
import type { Writable } from "node:stream";

/** Lines to a stream that its reader may close, as `head` does. */
export interface LineOutput {
  /** Aborts when nobody reads any more. */
  readonly closed: AbortSignal;
  /** Waits while the reader is behind. @throws the signal's reason when it aborts or nobody reads any more */
  write(line: string, signal: AbortSignal): Promise<void>;
}

/** Opens the output. An error other than a closed pipe ends the process, as without it. */
export function createLineOutput(stream: Writable): LineOutput {
  const closed = new AbortController();
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") {
      throw error;
    }
    closed.abort();
  });
  return {
    closed: closed.signal,
    async write(line, signal) {
      closed.signal.throwIfAborted();
      if (!stream.write(`${line}\n`)) {
        await once(stream, "drain", { signal: AbortSignal.any([signal, closed.signal]) });
      }
    },
  };
}
