import { runDetached } from "../platform/current-work.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { updateLastUses } from "./api-key-use.repository.ts";

/** Remembers when keys were used, and writes it down from time to time: a use costs no write. */
export interface LastUses {
  /** @param nowMs Unix milliseconds */
  note(id: string, nowMs: number): void;
  /** Writes what is not yet written. A failure is logged: what was not written is lost. */
  close(): Promise<void>;
}

/** What it is made of. */
export interface LastUsesDependencies {
  readonly database: Database;
  readonly logger: Logger;
  /** Written this long after the first use that is not written yet. */
  readonly writeAfterMs?: number;
}

/**
 * Creates it. All keys' uses are one statement, a minute after the first of them; one that fails is logged, and tried
 * again a minute later together with what has come meanwhile.
 */
export function createLastUses({ database, logger, writeAfterMs = 60_000 }: LastUsesDependencies): LastUses {
  let unwritten = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();
  let isClosed = false;

  async function write(): Promise<void> {
    timer = undefined;
    const uses = unwritten;
    unwritten = new Map();
    try {
      if (uses.size > 0) await withDatabaseDeadline(() => updateLastUses(database, uses));
    } catch (error) {
      logger.warn({ err: error }, "when API keys were last used could not be written");
      // What was used meanwhile was used later.
      unwritten = new Map([...uses, ...unwritten]);
      schedule();
    }
  }

  function schedule(): void {
    if (timer !== undefined || isClosed) return;
    timer = setTimeout(() => {
      writing = runDetached(write);
    }, writeAfterMs).unref();
  }

  return {
    note(id, nowMs) {
      unwritten.set(id, nowMs);
      if (timer === undefined) schedule();
    },
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await writing;
      await write();
    },
  };
}
