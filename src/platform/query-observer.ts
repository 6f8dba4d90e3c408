import type { Work } from "./current-work.ts";

/** A statement that is sent to the database. */
export interface ObservedQuery {
  readonly sql: string;
  /** For whom. */
  readonly work: Work | undefined;
}

/**
 * Told of each statement when it is sent. Must not throw.
 *
 * @returns told of its end, with what it failed with, if it did; undefined: does not care
 */
export type ObserveQuery = (query: ObservedQuery) => ((failure?: unknown) => void) | undefined;
