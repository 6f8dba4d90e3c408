import type { Database } from "../schema.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import { requireUserId } from "../users/user.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import { findPreferences, savePreferences } from "./preference.repository.ts";
import { completePreferences, type PreferenceChange, type UserPreferences } from "./preferences.ts";
import { requireStorable } from "./storable-input.ts";

/** What people prefer. No change of the account: no events. */
export interface PreferenceService {
  /** @throws UserNotFoundError */
  get(userId: string, signal?: AbortSignal): Promise<UserPreferences>;
  /** Changes what is not undefined. @throws UserNotFoundError, InvalidInputError */
  update(
    userId: string,
    change: PreferenceChange,
    caller?: WriteCaller<UserPreferences>,
  ): Promise<UserPreferences>;
}

/** Creates the service. Failures of the database pass through as they are. */
export function createPreferenceService(database: Database): PreferenceService {
  return {
    async get(userId, signal) {
      const id = requireUserId(userId);
      const set = await findPreferences(database, id, signal);
      if (set === undefined) throw new UserNotFoundError();
      return completePreferences(id, set);
    },

    async update(userId, change, caller) {
      const id = requireUserId(userId);
      requireStorable({
        theme: change.theme,
        language: change.language,
        notification_channels: change.notificationChannels,
        additional_preferences: change.additionalPreferences,
      });
      return inWriteTransaction(
        database,
        async (transaction) => completePreferences(id, await savePreferences(transaction, id, change)),
        caller,
      );
    },
  };
}
