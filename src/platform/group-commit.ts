import {
  type BatchBounds,
  type CallerState,
  createBatcher,
  dropAborted,
  type OnBatch,
  type Submission,
  type Submit,
} from "./batcher.ts";
import { CallerLeftError, toOwnReason } from "./caller-left.ts";
import { runFor } from "./current-work.ts";

/** Commands that share a transaction. As a caller it has left when none of their callers waits any more. */
export interface CommandGroup<Command> extends CallerState {
  /**
   * The commands whose callers still wait, in order. The others are dropped for good, so this is asked as late as
   * possible: once the transaction is open, and anew each time it is run again.
   */
  claim(): readonly Command[];
  /** Whether the transaction may wait for what others have locked; if not, it puts such commands off. */
  readonly mayWait: boolean;
}

/** The outcome of a command that has changed nothing and wants a transaction of its own, which may wait. */
export const putOff = Symbol("put off");

/** What became of a command: its result, the error that refuses it alone, or nothing yet. */
export type CommandOutcome<Result> = Result | Error | typeof putOff;

/** How a group is committed. */
export interface GroupCommitOptions<Command, Result> extends BatchBounds {
  /**
   * Runs the claimed commands in one transaction and commits it.
   *
   * @returns an outcome for each claimed command, in order
   */
  readonly commit: (group: CommandGroup<Command>) => Promise<readonly CommandOutcome<Result>[]>;
  readonly onBatch?: OnBatch | undefined;
}

/** Transactions of commands that were put off: they may wait for long, and each occupies a connection. */
const maxWaitingTransactions = 2;

/**
 * Lets the commands of concurrent callers share transactions, each with an outcome of its own: while one group
 * commits, the next gathers. A caller is answered after the commit, never before.
 *
 * A group that fails for a reason that may be one command's is halved until the command that is to blame stands
 * alone. What is nobody's fault (the database is away, out of space, cancels) fails everybody.
 *
 * A caller who leaves while its command waits gets its signal's reason, and nothing is kept. Once the transaction
 * has claimed the command, the caller gets the true outcome, unless all of the group have left before the commit:
 * then nothing is kept either. So whoever gets its signal's reason can be sure that nothing was kept. (Should all have
 * left and the database say nothing, they get AnswerGivenUpError.)
 */
export function createGroupCommit<Command, Result extends object>({
  commit,
  ...bounds
}: GroupCommitOptions<Command, Result>): Submit<Command, Result> {
  const commitAlone = createBatcher<Command, Result>({
    run: (batch) => commitOrHalve(batch, true),
    maxBatchSize: 1,
    maxInFlight: maxWaitingTransactions,
  });

  async function commitOrHalve(members: Members<Command, Result>, mayWait: boolean): Promise<void> {
    const group = new SubmittedGroup(members, mayWait);
    try {
      const outcomes = await commit(group);
      answer(group.members, outcomes);
    } catch (error) {
      if (error instanceof NobodyWaitsError || error instanceof CallerLeftError) {
        dropAborted(group.members);
      } else if (group.members.length > 1 && mayBeOfOne(error)) {
        const half = Math.ceil(group.members.length / 2);
        await commitOrHalve(group.members.slice(0, half), mayWait);
        await commitOrHalve(group.members.slice(half), mayWait);
      } else {
        for (const { reject } of group.members) reject(error);
      }
    }
  }

  function answer(members: Members<Command, Result>, outcomes: readonly CommandOutcome<Result>[]): void {
    for (const [index, { input, signal, span, inBackground, resolve, reject }] of members.entries()) {
      const outcome = outcomes[index];
      if (outcome === putOff) {
        // From now on it is its caller's alone.
        const spans = span === undefined ? [] : [span];
        const work = { caller: signal ?? nobody, spans, inBackground: inBackground === true };
        runFor(work, () => commitAlone(input, signal)).then(resolve, reject);
      } else if (outcome === undefined || outcome instanceof Error) {
        reject(toOwnReason(outcome ?? new Error("a command was given no outcome"), signal));
      } else {
        resolve(outcome);
      }
    }
  }

  return createBatcher({ ...bounds, run: (batch) => commitOrHalve(batch, false) });
}

/** Somebody who never leaves. */
const nobody: CallerState = { aborted: false, reason: undefined };

type Members<Command, Result> = readonly Submission<Command, Result>[];

class SubmittedGroup<Command, Result> implements CommandGroup<Command> {
  members: Members<Command, Result>;
  readonly mayWait: boolean;

  constructor(members: Members<Command, Result>, mayWait: boolean) {
    this.members = members;
    this.mayWait = mayWait;
  }

  claim(): readonly Command[] {
    this.members = dropAborted(this.members);
    return this.members.map(({ input }) => input);
  }

  get aborted(): boolean {
    return this.members.every(({ signal }) => signal?.aborted === true);
  }

  get reason(): Error {
    return new NobodyWaitsError("nobody waits for these commands any more");
  }
}

class NobodyWaitsError extends Error {}

/**
 * SQLSTATE classes (PostgreSQL's appendix A) of what one row can be to blame for: cardinality, data, constraints,
 * triggers, lost races, checks, size limits, raised exceptions. The server has answered, so nothing was committed.
 */
const classesOfOne = /^(?:21|22|23|27|40|44|54|P0)...$/;

function mayBeOfOne(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && classesOfOne.test(code);
}
