/** The tables of the profiles slice. */
export interface ProfileTables {
  user_profiles: UserProfileTable;
  user_preferences: UserPreferenceTable;
  user_activities: UserActivityTable;
}

interface UserProfileTable {
  user_id: string;
  display_name: string;
  avatar_url: string;
  bio: string;
  location: string;
  website: string;
  updated_at: Date;
}

/** Null is what nobody has set. */
interface UserPreferenceTable {
  user_id: string;
  theme: string | null;
  language: string | null;
  notifications_enabled: boolean | null;
  notification_channels: string[] | null;
  additional_preferences: Record<string, string> | null;
}

interface UserActivityTable {
  id: string;
  user_id: string;
  activity_type: string;
  description: string;
  metadata: Record<string, string>;
  created_at: Date;
}
