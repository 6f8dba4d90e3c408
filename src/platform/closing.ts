import type { Logger } from "./logger.ts";

/** Things to close, in the order in which they were opened. */
export interface Closing {
  /** Registers a close where a thing is opened. */
  push(name: string, close: () => Promise<void> | void): void;
  /**
   * Closes everything in reverse order, each even if another failed. Failures are logged, not thrown: at the
   * end of a life there is nobody left to handle them. A second call waits for the first.
   */
  close(): Promise<void>;
}

/** Creates an empty run list that unwinds in reverse. */
export function createClosing(logger: Logger): Closing {
  const steps: { name: string; close: () => Promise<void> | void }[] = [];
  let closed: Promise<void> | undefined;

  async function unwind(): Promise<void> {
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      try {
        await step.close();
        logger.debug({ step: step.name }, "closed");
      } catch (error) {
        logger.error({ step: step.name, err: error }, "could not close");
      }
    }
  }

  return {
    push: (name, close) => void steps.push({ name, close }),
    close: () => (closed ??= unwind()),
  };
}
