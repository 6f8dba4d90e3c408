/** Somebody who is sent bytes and may stop taking them. */
export interface Reader {
  /** Bytes that wait to be taken. */
  readonly pendingBytes: number;
  /** Ends what it reads, at once. */
  cutOff(why: "stalled"): void;
}

/** Watches readers while bytes wait for them. */
export interface StallWatch {
  /** From now on bytes wait for the reader. */
  waiting(reader: Reader): void;
  /** The reader has taken what waited, or is gone. */
  taken(reader: Reader): void;
  close(): void;
}

/** How often a stall is looked for within its timeout: a stalled reader outlives it by at most a quarter. */
const looksPerTimeout = 4;

interface Waiting {
  since: number;
  pendingBytes: number;
}

/** Creates a watch that cuts off whoever takes no bytes for `timeoutMs` while bytes wait. */
export function createStallWatch(timeoutMs: number): StallWatch {
  const waiting = new Map<Reader, Waiting>();
  const timer = setInterval(look, timeoutMs / looksPerTimeout);
  timer.unref();

  function look(): void {
    const now = performance.now();
    for (const [reader, seen] of waiting) {
      if (now - seen.since < timeoutMs) continue;
      const { pendingBytes } = reader;
      if (pendingBytes === seen.pendingBytes) {
        waiting.delete(reader);
        reader.cutOff("stalled");
      } else {
        // A slow reader is no stalled one.
        seen.pendingBytes = pendingBytes;
        seen.since = now;
      }
    }
  }

  return {
    waiting: (reader) => void waiting.set(reader, { since: performance.now(), pendingBytes: 0 }),
    taken: (reader) => void waiting.delete(reader),
    close: () => clearInterval(timer),
  };
}
