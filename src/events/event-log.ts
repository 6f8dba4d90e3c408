import type { Database } from "../schema.ts";
import { type StreamItem, type StreamRequest, streamEvents } from "./event-stream.ts";
import type { EventTailer } from "./event-tailer.ts";
import { createEventWriter, type EventWriter } from "./event-writer.ts";
import type { LogObserver } from "./log-observer.ts";

/** The ordered log behind every stream. */
export interface EventLog extends EventWriter {
  /** See {@link streamEvents}. */
  stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<StreamItem, never>;
}

/** The parts that a log is made of. */
export interface EventLogDependencies {
  readonly database: Database;
  readonly tailer: EventTailer;
  /** Called after a commit that appended: other processes may want to look. Must not throw. */
  readonly announce: () => void;
  /** See {@link streamEvents}. */
  readonly streamPageSize?: number;
  readonly observer?: LogObserver | undefined;
}

/** Creates the log's service over an open tailer. */
export function createEventLog(dependencies: EventLogDependencies): EventLog {
  const { database, tailer, announce, streamPageSize: pageSize, observer } = dependencies;
  const writer = createEventWriter(database, (commit) => {
    tailer.offer(commit);
    announce();
  });
  return {
    ...writer,
    stream: (request, signal) => streamEvents(database, tailer, request, signal, { pageSize, observer }),
  };
}
