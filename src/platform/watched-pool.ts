import type { PostgresPool, PostgresPoolClient } from "kysely";
import type { Pool, PoolClient } from "pg";
import { currentWork, runDetached } from "./current-work.ts";
import { createQueryCanceller } from "./query-canceller.ts";
import { type SessionGuards, WatchedSession } from "./watched-session.ts";

/** How long connections may take to close in good order. */
const closeTimeoutMs = 2_000;

/**
 * A pool for Kysely's driver that does nothing for callers who have left: they do not wait for a connection, nothing is
 * sent for them, and what is under way is cancelled.
 *
 * @param guards as many turns as the pool has connections
 */
export function createWatchedPool(pool: Pool, guards: Omit<SessionGuards, "canceller">): PostgresPool {
  const { turns, watch } = guards;
  const canceller = createQueryCanceller(pool.options);
  const sessions = new Map<PoolClient, WatchedSession>();
  pool.on("remove", (client) => {
    const session = sessions.get(client);
    sessions.delete(client);
    if (session !== undefined) watch.delete(session);
  });

  function toSession(client: PoolClient): PostgresPoolClient {
    let session = sessions.get(client);
    if (session === undefined) {
      session = new WatchedSession(client, { ...guards, canceller });
      sessions.set(client, session);
      watch.add(session);
    }
    // Kysely's cursors, which nobody uses here, are left out.
    return session as unknown as PostgresPoolClient;
  }

  function fail(error: unknown): never {
    turns.giveBack();
    throw error;
  }

  return {
    options: pool.options,
    end() {
      const ended = pool.end();
      // Those whose server says nothing would hold up the process's end.
      setTimeout(() => {
        for (const session of sessions.values()) session.giveUp();
      }, closeTimeoutMs).unref();
      return ended;
    },
    async connect() {
      const turn = turns.take(currentWork());
      if (turn !== undefined) await turn;
      // A connection outlives the call that it is made for, and what it raises is nobody's.
      const connected = pool.idleCount > 0 ? pool.connect() : runDetached(() => pool.connect());
      return connected.then(toSession, fail);
    },
  };
}
