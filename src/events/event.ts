import { newId } from "../platform/new-id.ts";
import type { UserSnapshot } from "./user-snapshot.ts";

/** What can happen to a user. */
export type EventType =
  | "user_registered"
  | "user_activated"
  | "user_deactivated"
  | "user_updated"
  | "user_deleted";

/** An event that has happened but has no place in the log yet. */
export interface EventDraft {
  readonly id: string;
  readonly type: EventType;
  readonly user: UserSnapshot;
  readonly occurredAt: Date;
}

/** An event in the log. */
export interface LoggedEvent extends EventDraft {
  /** Dense, and in commit order. */
  readonly revision: bigint;
}

/** Which events a stream wants; an empty set means all. */
export interface EventFilter {
  readonly types: ReadonlySet<string>;
  readonly userIds: ReadonlySet<string>;
}

/** The filter that every event passes. */
export const everyEvent: EventFilter = { types: new Set(), userIds: new Set() };

/** Drafts an event that happens now. */
export function draftEvent(type: EventType, user: UserSnapshot, occurredAt: Date): EventDraft {
  return { id: newId(occurredAt), type, user, occurredAt };
}

/** Whether the filter lets the event pass. */
export function matches(filter: EventFilter, event: EventDraft): boolean {
  return (
    (filter.types.size === 0 || filter.types.has(event.type)) &&
    (filter.userIds.size === 0 || filter.userIds.has(event.user.id))
  );
}
