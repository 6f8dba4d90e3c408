/** Somebody who is waited for. One list at a time holds it, by what it carries itself: to wait costs no memory more. */
export interface Awaited {
  awaitedBefore?: Awaited | undefined;
  awaitedAfter?: Awaited | undefined;
  /** How far it was when it was last looked at. */
  seenProgress?: number | undefined;
  /**
   * How many looks have found it no further. Looks, not time: a process that was busy for long has not given it the
   * chance to get on either.
   */
  idleLooks?: number;
}

/** Waits for many, and gives up who does not get on. */
export interface Patience<T extends Awaited> {
  /** From now on it is waited for, anew where it was before. */
  waiting(awaited: T): void;
  /** It is not waited for any more. */
  done(awaited: T): void;
  /** How many were given up. */
  readonly givenUp: number;
  close(): void;
}

/** What is asked of those who are waited for. */
export interface PatienceOptions<T> {
  readonly timeoutMs: number;
  /** Differs whenever it has got on; undefined: now it is not its turn. */
  readonly progressOf: (awaited: T) => number | undefined;
  readonly giveUp: (awaited: T) => void;
}

/** How often it is looked within the timeout: who has stopped is given up at most a quarter of it late. */
const looksPerTimeout = 4;

/** Creates it: one timer, however many are waited for. */
export function createPatience<T extends Awaited>({
  timeoutMs,
  progressOf,
  giveUp,
}: PatienceOptions<T>): Patience<T> {
  // A ring: each has somebody before and after it.
  const ring: Awaited = {};
  ring.awaitedBefore = ring;
  ring.awaitedAfter = ring;
  let givenUp = 0;
  const timer = setInterval(look, timeoutMs / looksPerTimeout);
  timer.unref();

  function look(): void {
    const late: T[] = [];
    for (let at = ring.awaitedAfter as Awaited; at !== ring; at = at.awaitedAfter as Awaited) {
      const progress = progressOf(at as T);
      if (progress !== at.seenProgress || progress === undefined) {
        at.seenProgress = progress;
        at.idleLooks = 0;
      } else {
        at.idleLooks = (at.idleLooks ?? 0) + 1;
        if (at.idleLooks === looksPerTimeout) late.push(at as T);
      }
    }
    // Not before: one that is given up may take others along.
    for (const awaited of late) {
      remove(awaited);
      givenUp++;
      giveUp(awaited);
    }
  }

  return {
    waiting(awaited) {
      // The first look sees how far it is: it comes at any time, and so is none of the timeout's. Most are gone by then,
      // and to ask them all would cost more than all else here.
      awaited.seenProgress = undefined;
      awaited.idleLooks = 0;
      if (awaited.awaitedAfter !== undefined) return;
      const last = ring.awaitedBefore as Awaited;
      awaited.awaitedBefore = last;
      awaited.awaitedAfter = ring;
      last.awaitedAfter = awaited;
      ring.awaitedBefore = awaited;
    },
    done: remove,
    get givenUp() {
      return givenUp;
    },
    close: () => clearInterval(timer),
  };
}

function remove(awaited: Awaited): void {
  const { awaitedBefore: before, awaitedAfter: after } = awaited;
  if (before === undefined || after === undefined) return;
  before.awaitedAfter = after;
  after.awaitedBefore = before;
  awaited.awaitedBefore = undefined;
  awaited.awaitedAfter = undefined;
}
