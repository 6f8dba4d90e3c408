import { setTimeout as delay } from "node:timers/promises";
import { DatabaseUnavailableError } from "./errors.ts";

/** A database that has not answered by then (a broken network, a stopped machine) counts as unavailable. */
const deadlineMs = 2_000;

/**
 * Waits for an answer of the database, though not for ever.
 *
 * @throws DatabaseUnavailableError after two seconds
 */
export async function withDatabaseDeadline<Result>(answer: Promise<Result>): Promise<Result> {
  const waiting = new AbortController();
  const late = delay(deadlineMs, undefined, { signal: waiting.signal, ref: false }).then(() => {
    throw new DatabaseUnavailableError();
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    late.catch(() => {});
    waiting.abort();
  }
}
