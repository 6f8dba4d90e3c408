import { InvalidInputError } from "../platform/errors.ts";
import { createUser, type User } from "../users/user.ts";
import type { ImportRow } from "./import-rows.ts";
import type { Outcome, Registrar } from "./registrar.ts";

/** How far an import has come. It is kept up to date while the import runs. */
export interface ImportProgress {
  added: number;
  present: number;
  refused: number;
  /** Every row up to the end of this line is done; 0 before the first. */
  doneLine: number;
}

/** What an import is made of. */
export interface ImportRun {
  readonly rows: AsyncIterator<ImportRow>;
  readonly registrar: Registrar;
  readonly progress: ImportProgress;
  /** Told about each refused row, in the order of the file. */
  readonly onRefused: (row: ImportRow, reason: string) => void;
  /** When it aborts, the import ends: after the batch at hand where one is being registered. */
  readonly stop: AbortSignal;
}

/** Rows a transaction: more gain nothing, and hold the log's lock and a stopping user up for longer. */
const batchSize = 500;

/**
 * Registers all rows, a batch at a time, each on its own merits.
 *
 * @returns whether it came to the end of the file, rather than being stopped
 * @throws what the file or the registrar fails with; `progress` then says how far it came
 */
export async function runImport(run: ImportRun): Promise<boolean> {
  for (;;) {
    const batch = await readBatch(run);
    if (batch === undefined) {
      return false;
    }
    await registerBatch(run, batch);
    if (batch.length < batchSize) {
      return true;
    }
  }
}

/** Fewer than a whole batch only at the end of the file; undefined when the import is stopped. */
async function readBatch({ rows, stop }: ImportRun): Promise<ImportRow[] | undefined> {
  const batch: ImportRow[] = [];
  try {
    while (!stop.aborted) {
      const next = await rows.next();
      if (next.done === true) {
        return batch;
      }
      if (batch.push(next.value) === batchSize) {
        return batch;
      }
    }
  } catch (error) {
    if (!stop.aborted) {
      throw error;
    }
  }
  return undefined;
}

async function registerBatch(run: ImportRun, batch: readonly ImportRow[]): Promise<void> {
  const now = new Date();
  const checked = batch.map((row) => ({ row, user: checkRow(row, now) }));
  const users = checked.flatMap(({ user }) => (typeof user === "string" ? [] : [user]));
  const outcomes = run.registrar.register(users)[Symbol.asyncIterator]();
  for (const { row, user } of checked) {
    const outcome: Outcome =
      typeof user === "string" ? { kind: "refused", reason: user } : await takeOutcome(outcomes);
    run.progress[outcome.kind]++;
    if (outcome.kind === "refused") {
      run.onRefused(row, outcome.reason);
    }
    run.progress.doneLine = row.lastLine;
  }
}

async function takeOutcome(outcomes: AsyncIterator<Outcome>): Promise<Outcome> {
  const next = await outcomes.next();
  if (next.done === true) {
    throw new Error("a registrar must give one outcome a user");
  }
  return next.value;
}

/** The user that a row asks for, or why it cannot be. */
function checkRow(row: ImportRow, now: Date): User | string {
  if (row.kind === "broken") {
    return row.reason;
  }
  try {
    return createUser(row, now);
  } catch (error) {
    if (error instanceof InvalidInputError) {
      return error.message;
    }
    throw error;
  }
}
