import { createEventLog, type EventLog } from "../events/event-log.ts";
import { openEventNotifier } from "../events/event-notifier.ts";
import { startEventRetention } from "../events/event-retention.ts";
import { type EventTailer, openEventTailer } from "../events/event-tailer.ts";
import type { LogObserver } from "../events/log-observer.ts";
import type { Core } from "./core.ts";

/** The event log of a process, and what follows it. */
export interface Events {
  readonly tailer: EventTailer;
  readonly log: EventLog;
}

/** Builds the event log, in order. @throws the database's error */
export async function openEvents(
  core: Pick<Core, "config" | "logger" | "closing" | "database">,
  observer?: LogObserver,
): Promise<Events> {
  const { config, logger, closing, database } = core;
  const tailer = await openEventTailer(database, logger, { observer });
  closing.push("event tailer", () => tailer.close());
  const notifier =
    config.database.kind === "postgres"
      ? openEventNotifier(config.database.url, database, tailer.wake, logger)
      : undefined;
  closing.push("event notifier", () => notifier?.close());
  if (config.eventRetentionMs !== undefined) {
    closing.push("event retention", startEventRetention(database, config.eventRetentionMs, logger));
  }
  const announce = (): void => notifier?.announce();
  return { tailer, log: createEventLog({ database, tailer, announce, observer }) };
}
