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
  pendingBytes: number;
  /**
   * How many looks have found nothing taken. Looks, not time: a process that was busy for long has not given its
   * readers the chance to take anything either.
   */
  idleLooks: number;
}

/** Creates a watch that cuts off whoever takes no bytes for `timeoutMs` while bytes wait. */
export function createStallWatch(timeoutMs: number): StallWatch {
  const waiting = new Map<Reader, Waiting>();
  const timer = setInterval(look, timeoutMs / looksPerTimeout);
  timer.unref();

  function look(): void {
    for (const [reader, seen] of waiting) {
      const { pendingBytes } = reader;
      if (pendingBytes !== seen.pendingBytes) {
        // A slow reader is no stalled one.
        seen.pendingBytes = pendingBytes;
        seen.idleLooks = 0;
      } else if (++seen.idleLooks === looksPerTimeout) {
        waiting.delete(reader);
        reader.cutOff("stalled");
      }
    }
  }

  return {
    // The first look comes at any time, and so is none of the timeout's.
    waiting: (reader) => void waiting.set(reader, { pendingBytes: reader.pendingBytes, idleLooks: -1 }),
    taken: (reader) => void waiting.delete(reader),
    close: () => clearInterval(timer),
  };
}
