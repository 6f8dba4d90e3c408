import type { TestContext } from "node:test";
import type { KyselyPlugin } from "kysely";
import { pino } from "pino";
import { createEventLog, type EventLog } from "../../src/events/event-log.ts";
import { type EventNotifier, openEventNotifier } from "../../src/events/event-notifier.ts";
import { type EventTailer, openEventTailer, type TailerOptions } from "../../src/events/event-tailer.ts";
import type { DatabaseConfig } from "../../src/platform/config.ts";
import { openDatabase } from "../../src/platform/database.ts";
import { migrate } from "../../src/platform/migrator.ts";
import type { Database, Schema } from "../../src/schema.ts";
import { type AccountService, createAccountService } from "../../src/users/account.service.ts";
import { createUserService, type UserService } from "../../src/users/user.service.ts";
import { createUserWriter, type UserWriter } from "../../src/users/user-writer.ts";
import { cleanUpAfter } from "./clean-up.ts";
import type { Backend } from "./databases.ts";

/** The log and the users of one process, without its port. */
export interface EventSystem {
  readonly database: Database;
  readonly tailer: EventTailer;
  readonly log: EventLog;
  readonly users: UserService;
  readonly accounts: AccountService;
  readonly writer: UserWriter;
  /** How many statements its tailer has sent so far. */
  tailerReads(): number;
  /** How many statements all its streams have sent so far. */
  streamReads(): number;
}

/** What a test may choose about a system. */
export interface EventSystemOptions extends TailerOptions {
  readonly streamPageSize?: number;
}

/** A poll that no test lives to see: whatever arrives has arrived by another way. */
export const neverPoll = 2 ** 31 - 1;

/** Says what goes wrong in a test's own processes where TEST_LOG_LEVEL asks for it. */
export const testLogger = pino({ level: process.env["TEST_LOG_LEVEL"] ?? "silent" }, pino.destination(2));

/** A fresh, migrated database for one test, and an open connection to it. */
export async function openTestDatabase(
  t: TestContext,
  backend: Backend,
): Promise<{ config: DatabaseConfig; database: Database }> {
  const created = await backend.create();
  cleanUpAfter(t, created.drop);
  const opened = await openDatabase<Schema>(created.config, testLogger);
  cleanUpAfter(t, opened.close);
  await migrate(opened.queries, testLogger);
  return { config: created.config, database: opened.queries };
}

/**
 * Opens a log as a process of its own would: with connections of its own, sending and hearing notifications.
 * (The embedded database has one process; there, use {@link openLog} as often as needed.)
 */
export async function openProcess(
  t: TestContext,
  config: DatabaseConfig,
  options: EventSystemOptions = {},
): Promise<EventSystem> {
  const opened = await openDatabase<Schema>(config, testLogger);
  cleanUpAfter(t, opened.close);
  return openLog(t, opened.queries, options, (heard) =>
    config.kind === "postgres" ? openEventNotifier(config.url, opened.queries, heard, testLogger) : undefined,
  );
}

/** Opens a log on an open database. Without a notifier it hears of its own writes only, until it polls. */
export async function openLog(
  t: TestContext,
  database: Database,
  { streamPageSize, ...tailerOptions }: EventSystemOptions = {},
  openNotifier: (heard: () => void) => EventNotifier | undefined = () => undefined,
): Promise<EventSystem> {
  const tailing = createStatementCounter();
  const tailer = await openEventTailer(database.withPlugin(tailing.plugin), testLogger, tailerOptions);
  cleanUpAfter(t, tailer.close);
  const notifier = openNotifier(tailer.wake);
  cleanUpAfter(t, () => notifier?.close());
  const announce = () => notifier?.announce();
  const streaming = createStatementCounter();
  const { stream } = createEventLog({
    database: database.withPlugin(streaming.plugin),
    tailer,
    announce,
    ...(streamPageSize !== undefined && { streamPageSize }),
  });
  const log: EventLog = { ...createEventLog({ database, tailer, announce }), stream };
  const now = (): Date => new Date();
  const writer = createUserWriter(database, log, now);
  const users = createUserService({ database, writer, now });
  const accounts = createAccountService({ database, log, writer, now });
  return {
    database,
    tailer,
    log,
    users,
    accounts,
    writer,
    tailerReads: tailing.count,
    streamReads: streaming.count,
  };
}

/** Counts statements where Kysely compiles them. */
function createStatementCounter(): { plugin: KyselyPlugin; count(): number } {
  let statements = 0;
  return {
    count: () => statements,
    plugin: {
      transformQuery({ node }) {
        statements += 1;
        return node;
      },
      transformResult: async ({ result }) => result,
    },
  };
}
