import { randomUUID } from "node:crypto";
import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { runDetached } from "../platform/current-work.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";

/** Tells the other processes of a PostgreSQL database that the log has grown, and hears them. */
export interface EventNotifier {
  /** Says that the log has grown, soon: many calls within the debounce make one notification. */
  announce(): void;
  close(): Promise<void>;
}

const channel = "user_bridge_events";

/** NOTIFY takes a lock that all committing transactions of the cluster share: at most this often a process. */
const debounceMs = 5;

const reconnectDelayMs = 1_000;

/** A server that takes connections and then says nothing would be waited for for ever. */
const connectTimeoutMs = 5_000;

/**
 * Opens a listening connection and keeps it open. Notifications are hints: while the connection is away (or
 * never comes, behind a pooler that has no LISTEN), the tailer's poll finds the events a little later.
 *
 * Notifications are sent outside the writes' transactions, since inside they would serialise all commits.
 *
 * @param heard called for each notification, and once after each new connection, which may have missed some
 */
export function openEventNotifier(
  url: string,
  database: Database,
  heard: () => void,
  logger: Logger,
): EventNotifier {
  const closing = new AbortController();
  // What this process has to say, it knows already.
  const ownName = randomUUID();
  let pending: NodeJS.Timeout | undefined;

  async function listen(): Promise<void> {
    // Not imported with this module, since the embedded database has no use for it.
    const { Client } = await import("pg");
    while (!closing.signal.aborted) {
      // A socket of our own, because it can be destroyed; client.end() waits for the server's consent.
      const socket = new Socket();
      const client = new Client({
        connectionString: url,
        application_name: "user-bridge listener",
        connectionTimeoutMillis: connectTimeoutMs,
        stream: () => socket,
      });
      const lost = Promise.withResolvers<void>();
      const stop = () => socket.destroy();
      closing.signal.addEventListener("abort", stop);
      client.on("error", () => lost.resolve());
      client.on("end", () => lost.resolve());
      client.on("notification", ({ payload }) => {
        if (payload !== ownName) heard();
      });
      try {
        await client.connect();
        await client.query(`listen ${channel}`);
        heard();
        await lost.promise;
      } catch (error) {
        if (!closing.signal.aborted) {
          logger.warn({ err: error }, "cannot listen for notifications; polling goes on");
        }
      } finally {
        closing.signal.removeEventListener("abort", stop);
        socket.destroy();
      }
      await delay(reconnectDelayMs, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  async function notify(): Promise<void> {
    pending = undefined;
    try {
      // A hint need not survive a crash of the database: nobody waits for the disk for it.
      const statement = sql`select set_config('synchronous_commit', 'off', true), pg_notify(${channel}, ${ownName})`;
      // Nobody waits for it, so that nobody else would notice a connection that has gone silent under it.
      await withDatabaseDeadline(() => statement.execute(database));
    } catch (error) {
      logger.debug({ err: error }, "a notification was lost");
    }
  }

  const listening = listen();
  return {
    announce() {
      pending ??= runDetached(() => setTimeout(() => void notify(), debounceMs));
    },
    async close() {
      clearTimeout(pending);
      closing.abort();
      await listening;
    },
  };
}
