import type { AccountFacts } from "./account-source.ts";

/** What somebody says about themselves; empty where they say nothing. */
export interface ProfileTexts {
  readonly displayName: string;
  readonly avatarUrl: string;
  readonly bio: string;
  readonly location: string;
  readonly website: string;
}

/** The texts and when they last changed, which is never where nobody has set any. */
export interface ProfileEntry extends ProfileTexts {
  readonly updatedAt: Date | undefined;
}

/** What is shown of somebody: the account and the texts. */
export interface Profile {
  readonly account: AccountFacts;
  readonly texts: ProfileTexts;
  /** When either of them last changed. */
  readonly updatedAt: Date;
}

/** New texts; what is undefined stays, what is empty is cleared. */
export type ProfileChange = { readonly [Key in keyof ProfileTexts]?: string | undefined };

/** The entry of whoever has never set anything. */
export const emptyProfile: ProfileEntry = {
  displayName: "",
  avatarUrl: "",
  bio: "",
  location: "",
  website: "",
  updatedAt: undefined,
};

/** Applies a change. @returns the changed entry, or the very same object where nothing differs */
export function changeProfile(entry: ProfileEntry, change: ProfileChange, now: Date): ProfileEntry {
  const changed: ProfileEntry = {
    displayName: change.displayName ?? entry.displayName,
    avatarUrl: change.avatarUrl ?? entry.avatarUrl,
    bio: change.bio ?? entry.bio,
    location: change.location ?? entry.location,
    website: change.website ?? entry.website,
    updatedAt: now,
  };
  const isSame =
    changed.displayName === entry.displayName &&
    changed.avatarUrl === entry.avatarUrl &&
    changed.bio === entry.bio &&
    changed.location === entry.location &&
    changed.website === entry.website;
  return isSame ? entry : changed;
}

/** Puts an account and its entry together. */
export function toProfile(account: AccountFacts, entry: ProfileEntry): Profile {
  const { updatedAt = account.updatedAt, ...texts } = entry;
  const lastMs = Math.max(updatedAt.getTime(), account.updatedAt.getTime());
  return { account, texts, updatedAt: new Date(lastMs) };
}
