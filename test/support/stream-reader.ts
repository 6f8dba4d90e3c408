import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { cleanUpAfter } from "./clean-up.ts";
import { withDeadline } from "./with-deadline.ts";

/** Reads a stream one message at a time, never ahead. A message that does not come fails the test. */
export interface StreamReader<T> {
  next(): Promise<T>;
  take(count: number): Promise<T[]>;
  /** Waits for the stream to fail, whatever still comes before, and returns that and the failure. */
  untilFailure(): Promise<{ messages: T[]; failure: unknown }>;
  /** Ends the stream from the reader's side. */
  leave(): void;
}

/** Opens a stream with the first message that is asked for, and ends it after the test. */
export function openReader<T>(
  t: TestContext,
  open: (signal: AbortSignal) => AsyncIterable<T>,
): StreamReader<T> {
  const leaving = new AbortController();
  let iterator: AsyncIterator<T> | undefined;
  cleanUpAfter(t, () => leaving.abort());

  async function next(): Promise<T> {
    // Not before: a client calls at once, and the failure of a call that nobody reads is nobody's.
    iterator ??= open(leaving.signal)[Symbol.asyncIterator]();
    const result = await withDeadline("a message of a stream", iterator.next());
    assert.ok(result.done !== true, "the stream has ended");
    return result.value;
  }
  return {
    next,
    async take(count) {
      const messages: T[] = [];
      while (messages.length < count) messages.push(await next());
      return messages;
    },
    async untilFailure() {
      const messages: T[] = [];
      try {
        for (;;) messages.push(await next());
      } catch (failure) {
        return { messages, failure };
      }
    },
    leave: () => leaving.abort(),
  };
}
