import { draftEvent } from "../events/event.ts";
import type { EventWriter } from "../events/event-writer.ts";
import { type CommandGroup, type CommandOutcome, putOff } from "../platform/group-commit.ts";
import type { Database } from "../schema.ts";
import { AnswerKeptError } from "../writes/idempotency.errors.ts";
import { sortByKey } from "../writes/repetitions.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { EmailTakenError, UsernameTakenError } from "./user.errors.ts";
import { findTaken, insertDraftedUsers, type Taken } from "./user.repository.ts";
import type { User } from "./user.ts";

/** A user to be registered. */
export interface Registration {
  readonly user: User;
  readonly caller: WriteCaller<User> | undefined;
}

/** Registers users together, each on its own merits, in one statement with their events and records. */
export async function registerUsers(
  database: Database,
  log: EventWriter,
  group: CommandGroup<Registration>,
): Promise<readonly CommandOutcome<User>[]> {
  let sorted = sortByKey<Registration>([]);
  const draft = () => {
    sorted = sortByKey(group.claim());
    // In one order, or two processes that register the same people at the same time would deadlock.
    return sorted.first
      .toSorted((one, other) => compareTexts(one.user.email, other.user.email))
      .map(({ user, caller }) => ({
        event: draftEvent("user_registered", user, user.createdAt),
        record: caller?.record?.(user),
      }));
  };
  const refusedIds = await log.writeDrafted(draft, insertDraftedUsers, group);
  if (refusedIds.size === 0) {
    return sorted.settle(({ user }) => user);
  }
  const refused = sorted.first.flatMap(({ user }) => (refusedIds.has(user.id) ? user : []));
  // The others are registered, whatever becomes of this.
  const taken = await findTaken(database, refused).catch((error: Error) => error);
  return sorted.settle((registration) =>
    refusedIds.has(registration.user.id) ? toRefusal(registration, taken) : registration.user,
  );
}

/**
 * Why a user was refused. Whom it collided with may have been deleted meanwhile: then it is tried again. Or it was not
 * refused at all, but its idempotency key was there already.
 */
function toRefusal(
  { user, caller }: Registration,
  taken: ReadonlyMap<string, Taken> | Error,
): CommandOutcome<User> {
  if (taken instanceof Error) return taken;
  const what = taken.get(user.id);
  if (what === undefined) return caller?.keyHash === undefined ? putOff : new AnswerKeptError();
  return what === "email" ? new EmailTakenError() : new UsernameTakenError();
}

function compareTexts(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
