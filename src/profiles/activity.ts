/** Something that somebody does. */
export interface ActivityDraft {
  readonly type: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Something that somebody did. */
export interface Activity extends ActivityDraft {
  readonly id: string;
  readonly userId: string;
  readonly createdAt: Date;
}

/** Some of what somebody did, newest first. */
export interface ActivityPage {
  readonly userId: string;
  readonly activities: readonly Activity[];
  /** Of all pages. */
  readonly total: number;
}
