import { setImmediate } from "node:timers/promises";
import { createAccountGuard } from "./access/account-guard.ts";
import { createRoleService } from "./access/role.service.ts";
import { openDoor } from "./compose/access.ts";
import { openAdmission } from "./compose/admission.ts";
import { openApiKeys } from "./compose/api-keys.ts";
import { openAudit } from "./compose/audit.ts";
import { openAuth } from "./compose/auth.ts";
import type { Core } from "./compose/core.ts";
import { openEvents } from "./compose/events.ts";
import { openListeners } from "./compose/listeners.ts";
import { openProfiles } from "./compose/profiles.ts";
import { openTelemetry } from "./compose/telemetry.ts";
import { openTokens } from "./compose/tokens.ts";
import { createUserEventsHandler } from "./events/event.handler.ts";
import { createClosing } from "./platform/closing.ts";
import type { Config } from "./platform/config.ts";
import { openDatabase } from "./platform/database.ts";
import type { Logger } from "./platform/logger.ts";
import { migrate, requireCurrentSchema } from "./platform/migrator.ts";
import { listServices } from "./routes.ts";
import type { Schema } from "./schema.ts";
import { createHealthStatus } from "./server/health/health.status.ts";
import { createAccountService } from "./users/account.service.ts";
import { createUserHandler } from "./users/user.handler.ts";
import { createUserService } from "./users/user.service.ts";
import { createUserWriter } from "./users/user-writer.ts";
import { createAnswerWrite } from "./writes/answer-write.ts";
import { startKeptAnswerCleanUp } from "./writes/kept-answer-clean-up.ts";

/** A running process. */
export interface App {
  readonly url: string;
  /** Where the internal listener is; undefined where there is none. */
  readonly internalUrl: string | undefined;
  /** For people: which database is in use. */
  readonly databaseDescription: string;
  /** Ends well: NOT_SERVING, streams and calls end, connections close, then the log and the database. */
  close(): Promise<void>;
}

const now = (): Date => new Date();

/**
 * Builds everything, in order. What is opened is closed in reverse, also where a later step fails.
 *
 * @throws DataDirLockedError, SchemaError, NoWayInError, ConfigError, ListenError, the database's or the system's error
 */
export async function startApp(config: Config, logger: Logger): Promise<App> {
  const closing = createClosing(logger);
  try {
    const telemetry = await openTelemetry({ config, logger, closing });
    const opened = await openDatabase<Schema>(config.database, logger, telemetry.observeQuery);
    closing.push("database", () => opened.close());
    const database = opened.queries;
    if (config.migrate === "on") {
      await migrate(database, logger);
    } else {
      await requireCurrentSchema(database);
    }

    const { metrics } = telemetry;
    const work = metrics?.work;
    const onLookUps = work?.batch("look-ups");
    const { tailer, log } = await openEvents({ config, logger, closing, database }, work);
    const writer = createUserWriter(database, log, now, work?.writes);
    const users = createUserService({ database, writer, now, onLookUps });
    const accounts = createAccountService({ database, log, writer, now, onLookUps });
    const health = createHealthStatus(listServices(config.services).map((service) => service.typeName));
    const answerWrite = createAnswerWrite({ database, now, observer: work });
    const roles = createRoleService({ database, log, now });
    const accountGuard = createAccountGuard(roles);
    closing.push("idempotency keys' clean-up", startKeptAnswerCleanUp(database, logger));
    const core: Core = {
      config,
      logger,
      closing,
      database,
      tailer,
      log,
      users,
      accounts,
      roles,
      answerWrite,
      accountGuard,
      health,
      metrics,
      now,
    };

    const audit = openAudit(core);
    const mountsAuth = config.services.has("auth");
    const asksWho = config.auth === "on";
    const apiKeys = mountsAuth || asksWho ? openApiKeys(core) : undefined;
    const tokens = mountsAuth || asksWho ? await openTokens(core) : undefined;
    const auth = mountsAuth && tokens ? openAuth(core, tokens) : undefined;
    const access = asksWho && tokens && apiKeys ? await openDoor(core, tokens, apiKeys) : undefined;
    const admission = openAdmission(config, closing);
    metrics?.watch({ pool: opened.pool, tailer, admission });
    const listeners = await openListeners(core, {
      handlers: {
        users: config.services.has("users")
          ? createUserHandler(users, createUserEventsHandler(log), answerWrite, accountGuard)
          : undefined,
        auth: auth?.handler,
        access: auth?.accessHandler,
        apiKeys: mountsAuth ? apiKeys?.handler : undefined,
        audit: mountsAuth ? audit.handler : undefined,
        profiles: config.services.has("profiles") ? openProfiles(core) : undefined,
      },
      internalAuth: mountsAuth ? apiKeys?.internalHandler : undefined,
      documents: auth?.documents ?? [],
      internalDocuments: metrics && [metrics.document],
      access,
      admission,
      telemetry: telemetry.calls,
      onRefusal: audit.onRefusal,
    });
    metrics?.watch({ connections: () => listeners.connections() });
    await opened.lock?.announce(listeners.url);

    let ending = false;
    const reportHealth = (): void => listeners.reportHealth(tailer.isHealthy && !ending);
    tailer.onHealthChange(reportHealth);
    reportHealth();
    closing.push("health", async () => {
      ending = true;
      reportHealth();
      // Watchers hear NOT_SERVING before the next step ends their streams.
      await setImmediate();
    });

    const { url, internalUrl } = listeners;
    return { url, internalUrl, databaseDescription: opened.description, close: closing.close };
  } catch (error) {
    await closing.close();
    throw error;
  }
}
