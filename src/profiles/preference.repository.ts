import { type Selectable, sql } from "kysely";
import { untilAborted } from "../platform/until-aborted.ts";
import type { Database, Transaction } from "../schema.ts";
import { translateMissingUser } from "./foreign-key.ts";
import type { PreferenceChange } from "./preferences.ts";
import type { ProfileTables } from "./profile.table.ts";

type PreferenceRow = Omit<Selectable<ProfileTables["user_preferences"]>, "user_id">;

const columns = sql.raw(
  "theme, language, notifications_enabled, notification_channels, additional_preferences",
);

/** What a user has set; undefined where there is no such user. The id must be a UUID. */
export async function findPreferences(
  database: Database,
  userId: string,
  signal?: AbortSignal,
): Promise<PreferenceChange | undefined> {
  const query = sql<PreferenceRow>`
    select ${columns} from users left join user_preferences on user_id = id where id = ${userId}`;
  const { rows } = await untilAborted(signal, () => query.execute(database));
  return rows[0] && toPreferences(rows[0]);
}

/**
 * Sets what is given, in one statement, so that concurrent changes of different fields all hold.
 *
 * @returns all that the user has set
 * @throws UserNotFoundError
 */
export async function savePreferences(
  transaction: Transaction,
  userId: string,
  change: PreferenceChange,
): Promise<PreferenceChange> {
  const { rows } = await sql<PreferenceRow>`
    insert into user_preferences (user_id, ${columns})
    values (${userId}, ${change.theme ?? null}, ${change.language ?? null}, ${change.notificationsEnabled ?? null},
      ${toJson(change.notificationChannels)}::jsonb, ${toJson(change.additionalPreferences)}::jsonb)
    on conflict (user_id) do update set
      theme = coalesce(excluded.theme, user_preferences.theme),
      language = coalesce(excluded.language, user_preferences.language),
      notifications_enabled = coalesce(excluded.notifications_enabled, user_preferences.notifications_enabled),
      notification_channels = coalesce(excluded.notification_channels, user_preferences.notification_channels),
      additional_preferences = coalesce(excluded.additional_preferences, user_preferences.additional_preferences)
    returning ${columns}`
    .execute(transaction)
    .catch((error: unknown) => {
      throw translateMissingUser(error);
    });
  const row = rows[0];
  if (row === undefined) {
    throw new Error("an upsert has returned no row");
  }
  return toPreferences(row);
}

function toJson(value: object | undefined): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function toPreferences(row: PreferenceRow): PreferenceChange {
  return {
    theme: row.theme ?? undefined,
    language: row.language ?? undefined,
    notificationsEnabled: row.notifications_enabled ?? undefined,
    notificationChannels: row.notification_channels ?? undefined,
    additionalPreferences: row.additional_preferences ?? undefined,
  };
}
