import type { LoggedEvent } from "./event.ts";

/** What one commit of this process has put into the log. */
export interface Commit {
  /** The database that numbered them. */
  readonly databaseId: string;
  /** In order, without a hole; at least one. */
  readonly events: readonly LoggedEvent[];
}

/** This process's commits that have not been handed on yet. */
export interface CommittedEvents {
  add(commit: Commit): void;
  /** Whether all has been taken or forgotten. */
  readonly isEmpty: boolean;
  /**
   * Takes the events that follow a revision of a database without a hole. What is left behind a hole others have
   * written before it, and only the table knows what.
   */
  takeAfter(databaseId: string, revision: bigint): readonly LoggedEvent[];
  /** Forgets what is known by now: everything up to a revision. */
  forgetUpTo(revision: bigint): void;
}

/** Creates the keeper of what has been committed. */
export function createCommittedEvents(): CommittedEvents {
  let commits: Commit[] = [];

  function forgetUpTo(revision: bigint): void {
    commits = commits.filter((commit) => firstOf(commit) > revision);
  }

  return {
    get isEmpty() {
      return commits.length === 0;
    },
    forgetUpTo,
    add: (commit) => void commits.push(commit),
    takeAfter(databaseId, revision) {
      const taken: LoggedEvent[] = [];
      let next = revision + 1n;
      // Two commits may be answered in the other order.
      commits.sort((one, other) => compare(firstOf(one), firstOf(other)));
      for (const commit of commits) {
        if (commit.databaseId !== databaseId || firstOf(commit) !== next) break;
        taken.push(...commit.events);
        next += BigInt(commit.events.length);
      }
      if (taken.length > 0) forgetUpTo(next - 1n);
      return taken;
    },
  };
}

function firstOf({ events }: Commit): bigint {
  return events[0]?.revision ?? 0n;
}

function compare(one: bigint, other: bigint): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
