/** A logical clock: what happens counts, and others wait until so much has happened. */
export interface Milestones {
  /** One more thing has happened. */
  pass(): void;
  /** Nothing more will happen: whoever waits goes on. */
  finish(): void;
  readonly isFinished: boolean;
  readonly finished: Promise<void>;
  /** Resolves when `count` more things have happened, or nothing more will. */
  afterNext(count: number): Promise<void>;
}

/** Creates a clock at zero. */
export function createMilestones(): Milestones {
  const finished = Promise.withResolvers<void>();
  const waiting = new Set<{ readonly at: number; readonly wake: () => void }>();
  let passed = 0;
  let isFinished = false;

  function wakeDue(): void {
    for (const waiter of waiting) {
      if (isFinished || waiter.at <= passed) {
        waiting.delete(waiter);
        waiter.wake();
      }
    }
  }

  return {
    pass() {
      passed += 1;
      wakeDue();
    },
    finish() {
      isFinished = true;
      wakeDue();
      finished.resolve();
    },
    get isFinished() {
      return isFinished;
    },
    finished: finished.promise,
    afterNext: (count) =>
      new Promise((wake) => {
        waiting.add({ at: passed + count, wake });
        wakeDue();
      }),
  };
}
