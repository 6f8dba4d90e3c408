import { type Awaited, createPatience } from "./patience.ts";

/** Somebody who is sent bytes and may stop taking them. */
export interface Reader extends Awaited {
  /** Bytes that wait to be taken. */
  readonly pendingBytes: number;
  /** Bytes that wait on its connection, whomever they are for: while there are some, all wait for them. */
  readonly queuedBytes?: number;
  /** Ends what it reads, at once. */
  cutOff(why: "stalled"): void;
}

/** Watches readers while bytes wait for them. */
export interface StallWatch {
  /** From now on bytes may wait for the reader. Again where more bytes do. */
  waiting(reader: Reader): void;
  /** The reader has taken what waited, or is gone. */
  taken(reader: Reader): void;
  /** How many have been cut off. */
  readonly cutOff: number;
  close(): void;
}

/**
 * Creates a watch that cuts off whoever takes no bytes for `timeoutMs` while bytes wait: a slow reader is no stalled
 * one.
 */
export function createStallWatch(timeoutMs: number): StallWatch {
  const patience = createPatience<Reader>({
    timeoutMs,
    progressOf,
    giveUp: (reader) => reader.cutOff("stalled"),
  });
  return {
    waiting: patience.waiting,
    taken: patience.done,
    get cutOff() {
      return patience.givenUp;
    },
    close: patience.close,
  };
}

function progressOf(reader: Reader): number | undefined {
  const { pendingBytes } = reader;
  if (pendingBytes === 0) return undefined;
  const { queuedBytes = 0 } = reader;
  // Negative, so that it is not taken for the other.
  return queuedBytes > 0 ? -queuedBytes : pendingBytes;
}
