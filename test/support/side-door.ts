import type { TestContext } from "node:test";
import { Client } from "pg";
import { cleanUpAfter } from "./clean-up.ts";
import { withDeadline } from "./with-deadline.ts";

/** Connections of a test's own to the PostgreSQL database of a program. */
export interface SideDoor {
  /** Locks a table, so that whoever wants to read it waits. */
  lock(table: string): Promise<void>;
  unlock(): Promise<void>;
  /** Resolves as soon as so many of the program's sessions wait for a lock. */
  untilWaiting(sessions: number): Promise<void>;
  /** Resolves as soon as so many of them run a statement with this text in it. */
  untilRunning(text: string, sessions: number): Promise<void>;
}

/** Opens it, until the test ends. */
export async function openSideDoor(t: TestContext, url: string): Promise<SideDoor> {
  const [locker, watcher] = [new Client({ connectionString: url }), new Client({ connectionString: url })];
  for (const client of [locker, watcher]) {
    client.on("error", () => {});
    await client.connect();
    cleanUpAfter(t, () => client.end());
  }

  async function until(
    what: string,
    condition: string,
    parameters: unknown[],
    sessions: number,
  ): Promise<void> {
    const poll = async (): Promise<void> => {
      for (;;) {
        const { rowCount } = await watcher.query(
          `select from pg_stat_activity where datname = current_database()
           and application_name = 'user-bridge' and ${condition}`,
          parameters,
        );
        if (rowCount === sessions) return;
      }
    };
    await withDeadline(`${sessions} sessions ${what}`, poll());
  }

  return {
    async lock(table) {
      await locker.query("begin");
      await locker.query(`lock table ${table} in access exclusive mode`);
    },
    unlock: async () => void (await locker.query("rollback")),
    untilWaiting: (sessions) => until("that wait for a lock", "wait_event_type = 'Lock'", [], sessions),
    untilRunning: (text, sessions) =>
      until(`that run ${text}`, "state = 'active' and query like $1", [`%${text}%`], sessions),
  };
}
