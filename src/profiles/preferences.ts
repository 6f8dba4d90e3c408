/** What somebody prefers. */
export interface Preferences {
  readonly theme: string;
  readonly language: string;
  readonly notificationsEnabled: boolean;
  readonly notificationChannels: readonly string[];
  readonly additionalPreferences: Readonly<Record<string, string>>;
}

/** The preferences of a user. */
export interface UserPreferences extends Preferences {
  readonly userId: string;
}

/** What has been set of them; what is undefined has not. */
export type PreferenceChange = { readonly [Key in keyof Preferences]?: Preferences[Key] | undefined };

/** What whoever has never said so prefers. */
export const defaultPreferences: Preferences = {
  theme: "system",
  language: "en",
  notificationsEnabled: true,
  notificationChannels: ["email"],
  additionalPreferences: {},
};

/** A user's preferences, from what has been set. */
export function completePreferences(userId: string, set: PreferenceChange): UserPreferences {
  return {
    userId,
    theme: set.theme ?? defaultPreferences.theme,
    language: set.language ?? defaultPreferences.language,
    notificationsEnabled: set.notificationsEnabled ?? defaultPreferences.notificationsEnabled,
    notificationChannels: set.notificationChannels ?? defaultPreferences.notificationChannels,
    additionalPreferences: set.additionalPreferences ?? defaultPreferences.additionalPreferences,
  };
}
