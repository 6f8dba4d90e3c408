/** Told of how the log is read. Must not throw. */
export interface LogObserver {
  /** Events have been read, or taken over from a commit, the newest of which happened so long ago. */
  eventsRead(newestAgeMs: number): void;
  /** A stream has looked for what follows. A hit was in memory, a miss takes a query. */
  ringAsked(isHit: boolean): void;
  /** A stream has been given events. */
  eventsDelivered(count: number): void;
}
