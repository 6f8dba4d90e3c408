import { newId } from "../platform/new-id.ts";
import type { Database } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import { requireUserId } from "../users/user.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import { insertActivity, listActivities } from "./activity.repository.ts";
import type { ActivityDraft, ActivityPage } from "./activity.ts";
import { type Page, toPage } from "./page.ts";
import { requireStorable } from "./storable-input.ts";

/** What people do, as whoever sees it records it. No change of the account: no events. */
export interface ActivityService {
  /** A page, newest first; see {@link toPage} for its bounds. @throws UserNotFoundError */
  list(userId: string, page: Page, signal?: AbortSignal): Promise<ActivityPage>;
  /** @returns the id of what was recorded @throws UserNotFoundError, InvalidInputError */
  record(userId: string, draft: ActivityDraft, caller?: WriteCaller<string>): Promise<string>;
}

/** Creates the service. Failures of the database pass through as they are. */
export function createActivityService(database: Database, now: () => Date): ActivityService {
  return {
    async list(userId, page, signal) {
      const found = await listActivities(database, requireUserId(userId), toPage(page), signal);
      if (found === undefined) throw new UserNotFoundError();
      return found;
    },

    async record(userId, draft, caller) {
      const id = requireUserId(userId);
      requireStorable({
        activity_type: draft.type,
        description: draft.description,
        metadata: draft.metadata,
      });
      const activityId = newId(now());
      return inWriteTransaction(
        database,
        async (transaction) => {
          await insertActivity(transaction, id, activityId, draft);
          return activityId;
        },
        caller,
      );
    },
  };
}
