/** What profiles shows of an account. */
export interface AccountFacts {
  readonly id: string;
  readonly email: string;
  readonly fullName: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Who waits for an answer: until the signal aborts, which it does after so many milliseconds at the latest. */
export interface Caller {
  readonly signal: AbortSignal;
  /** How much time is left; undefined means no limit. */
  timeoutMs(): number | undefined;
}

/** Where profiles learns what an account says: in this process, or from another one that serves auth. */
export interface AccountSource {
  /** @throws UserNotFoundError, AuthUnavailableError */
  get(userId: string, caller?: Caller): Promise<AccountFacts>;
  /** Those that exist, by id. @throws AuthUnavailableError */
  getMany(userIds: readonly string[], caller?: Caller): Promise<ReadonlyMap<string, AccountFacts>>;
}
