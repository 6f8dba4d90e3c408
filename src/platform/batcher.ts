import { toOwnReason } from "./caller-left.ts";
import { currentWork, runDetached, runFor, type Work } from "./current-work.ts";
import type { TraceSpan } from "./trace-span.ts";

/** Whether a caller has left, and why. An AbortSignal says so; nobody listens to it here. */
export type CallerState = Pick<AbortSignal, "aborted" | "reason">;

/** What one caller has asked for, and the way to answer. */
export interface Submission<Input, Output> {
  readonly input: Input;
  readonly signal: CallerState | undefined;
  /** The caller's span. */
  readonly span: TraceSpan | undefined;
  /** See {@link Work}; undefined: it is not. */
  readonly inBackground?: boolean | undefined;
  readonly resolve: (output: Output) => void;
  readonly reject: (reason: unknown) => void;
}

/** The two bounds of a batcher. */
export interface BatchBounds {
  /** How many submissions one batch takes at most. */
  readonly maxBatchSize: number;
  /** How many batches run at once at most; what arrives meanwhile is gathered for the next. */
  readonly maxInFlight: number;
}

/** Told of the size of each batch that starts. Must not throw. */
export type OnBatch = (size: number) => void;

/** What a batcher does with what it has gathered. */
export interface BatcherOptions<Input, Output> extends BatchBounds {
  readonly onBatch?: OnBatch | undefined;
  /** Answers each submission of a batch. Should it reject, it has failed those that it left unanswered. */
  readonly run: (batch: readonly Submission<Input, Output>[]) => Promise<void>;
}

/** Asks, and is answered by the batch that takes the question along. */
export type Submit<Input, Output> = (input: Input, signal?: CallerState) => Promise<Output>;

/**
 * Gathers what concurrent callers ask and runs it in batches, in the order of arrival.
 *
 * A batch starts in the check phase of the event loop, so that whatever the sockets brought in one poll phase is
 * in one batch and a caller who is alone waits for nothing but the end of that phase (a microtask would come
 * between two sockets and start batches of one). While as many batches run as may, the next one gathers: batches
 * grow with the load, and no timer delays a call.
 *
 * A batch never takes in what is asked after its start, so an answer is no older than its question. A caller
 * whose signal has aborted before the start is left out and gets the signal's reason.
 *
 * The queue has no bound of its own: each entry is a call that somebody waits for, and those are bounded where
 * they arrive (streams per connection).
 */
export function createBatcher<Input, Output>(options: BatcherOptions<Input, Output>): Submit<Input, Output> {
  const { run, maxBatchSize, maxInFlight, onBatch } = options;
  const waiting: Submission<Input, Output>[] = [];
  let inFlight = 0;
  let isScheduled = false;

  function schedule(): void {
    if (!isScheduled && waiting.length > 0 && inFlight < maxInFlight) {
      isScheduled = true;
      // A batch is nobody's alone.
      runDetached(() => setImmediate(startBatches));
    }
  }

  function startBatches(): void {
    isScheduled = false;
    while (waiting.length > 0 && inFlight < maxInFlight) {
      const batch = dropAborted(waiting.splice(0, maxBatchSize));
      if (batch.length > 0) {
        inFlight += 1;
        void runBatch(batch);
      }
    }
  }

  async function runBatch(batch: readonly Submission<Input, Output>[]): Promise<void> {
    try {
      onBatch?.(batch.length);
      await runFor(workOf(batch), () => run(batch));
    } catch (error) {
      for (const { signal, reject } of batch) reject(toOwnReason(error, signal));
    }
    inFlight -= 1;
    schedule();
  }

  return (input, signal) =>
    new Promise((resolve, reject) => {
      const work = currentWork();
      waiting.push({
        input,
        signal: signal ?? work?.caller,
        span: work?.spans[0],
        inBackground: work?.inBackground,
        resolve,
        reject,
      });
      schedule();
    });
}

type Waiting = Pick<Submission<unknown, unknown>, "signal" | "span" | "inBackground">;

/** A batch is worked on for as long as any of its callers waits. */
function workOf(batch: readonly Waiting[]): Work {
  const left = ({ signal }: Waiting) => signal?.aborted === true;
  return {
    caller: {
      get aborted() {
        return batch.every(left);
      },
      get reason() {
        return batch.find(left)?.signal?.reason;
      },
    },
    spans: batch.flatMap(({ span }) => (span === undefined ? [] : [span])),
    inBackground: batch.some(({ signal, inBackground }) => signal === undefined || inBackground === true),
  };
}

/** Those whose callers still wait. The others get their signal's reason. */
export function dropAborted<Input, Output>(
  submissions: readonly Submission<Input, Output>[],
): readonly Submission<Input, Output>[] {
  return submissions.filter(({ signal, reject }) => {
    if (signal?.aborted !== true) {
      return true;
    }
    reject(signal.reason);
    return false;
  });
}
