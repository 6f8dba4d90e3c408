import { setTimeout as delay } from "node:timers/promises";
import { currentWork, runFor } from "./current-work.ts";
import { DatabaseUnavailableError } from "./errors.ts";

/** A database that has not answered by then (a broken network, a stopped machine) counts as unavailable. */
const deadlineMs = 2_000;

/**
 * Asks the database on behalf of many, whoever of them has asked first, and waits for its answer, though not for ever.
 *
 * @throws DatabaseUnavailableError after two seconds; what was asked is cancelled
 */
export async function withDatabaseDeadline<Result>(ask: () => Promise<Result>): Promise<Result> {
  const waiting = new AbortController();
  const caller = { aborted: false, reason: undefined };
  const late = delay(deadlineMs, undefined, { signal: waiting.signal, ref: false }).then(() => {
    caller.aborted = true;
    throw new DatabaseUnavailableError();
  });
  const work = { caller, spans: currentWork()?.spans ?? [], inBackground: true };
  try {
    return await Promise.race([runFor(work, ask), late]);
  } finally {
    late.catch(() => {});
    waiting.abort();
  }
}
