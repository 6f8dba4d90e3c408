import { setImmediate } from "node:timers/promises";
import { openAuth } from "./compose/auth.ts";
import { openProfiles } from "./compose/profiles.ts";
import { createUserEventsHandler } from "./events/event.handler.ts";
import { createEventLog } from "./events/event-log.ts";
import { openEventNotifier } from "./events/event-notifier.ts";
import { startEventRetention } from "./events/event-retention.ts";
import { openEventTailer } from "./events/event-tailer.ts";
import { createClosing } from "./platform/closing.ts";
import type { Config } from "./platform/config.ts";
import { openDatabase } from "./platform/database.ts";
import type { Logger } from "./platform/logger.ts";
import { migrate, requireCurrentSchema } from "./platform/migrator.ts";
import { createRoutes, listServices } from "./routes.ts";
import type { Schema } from "./schema.ts";
import { createHealthHandler } from "./server/health/health.handler.ts";
import { createHealthStatus } from "./server/health/health.status.ts";
import { openHost } from "./server/host.ts";
import { createAccountService } from "./users/account.service.ts";
import { createUserHandler } from "./users/user.handler.ts";
import { createUserService } from "./users/user.service.ts";
import { createUserWriter } from "./users/user-writer.ts";

/** A running process. */
export interface App {
  readonly url: string;
  /** For people: which database is in use. */
  readonly databaseDescription: string;
  /** Ends well: NOT_SERVING, streams and calls end, connections close, then the log and the database. */
  close(): Promise<void>;
}

const now = (): Date => new Date();

/**
 * Builds everything, in order. What is opened is closed in reverse, also where a later step fails.
 *
 * @throws DataDirLockedError, SchemaError, the database's or the system's error
 */
export async function startApp(config: Config, logger: Logger): Promise<App> {
  const closing = createClosing(logger);
  try {
    const database = await openDatabase<Schema>(config.database, logger);
    closing.push("database", () => database.close());
    if (config.migrate === "on") {
      await migrate(database.queries, logger);
    } else {
      await requireCurrentSchema(database.queries);
    }

    const tailer = await openEventTailer(database.queries, logger);
    closing.push("event tailer", () => tailer.close());
    const notifier =
      config.database.kind === "postgres"
        ? openEventNotifier(config.database.url, database.queries, tailer.wake, logger)
        : undefined;
    closing.push("event notifier", () => notifier?.close());
    if (config.eventRetentionMs !== undefined) {
      closing.push("event retention", startEventRetention(database.queries, config.eventRetentionMs, logger));
    }
    const log = createEventLog({
      database: database.queries,
      tailer,
      announce: () => notifier?.announce(),
    });
    const writer = createUserWriter(database.queries, log, now);
    const users = createUserService({ database: database.queries, writer, now });
    const accounts = createAccountService({ database: database.queries, log, writer, now });

    const health = createHealthStatus(listServices(config.services).map((service) => service.typeName));
    let ending = false;
    const reportHealth = (): void => health.set(tailer.isHealthy && !ending);
    tailer.onHealthChange(reportHealth);

    const core = {
      config,
      logger,
      closing,
      database: database.queries,
      tailer,
      log,
      users,
      accounts,
      health,
      now,
    };
    const auth = config.services.has("auth") ? await openAuth(core) : undefined;
    const routes = createRoutes(
      {
        users: config.services.has("users")
          ? createUserHandler(users, createUserEventsHandler(log))
          : undefined,
        auth: auth?.handler,
        access: auth?.accessHandler,
        profiles: config.services.has("profiles") ? openProfiles(core) : undefined,
        health: createHealthHandler(health),
      },
      { reflection: config.reflection },
    );
    const host = await openHost({ config, logger, routes, health, documents: auth?.documents ?? [] });
    closing.push("host", () => host.close());
    await database.lock?.announce(host.url);
    reportHealth();
    closing.push("health", async () => {
      ending = true;
      reportHealth();
      // Watchers hear NOT_SERVING before the next step ends their streams.
      await setImmediate();
    });

    return { url: host.url, databaseDescription: database.description, close: closing.close };
  } catch (error) {
    await closing.close();
    throw error;
  }
}
