/** What a login or a refresh gives. Both tokens are secrets. */
export interface TokenPair {
  /** A JWT; docs/tokens.md has its claims. */
  readonly accessToken: string;
  /** Good for one refresh. */
  readonly refreshToken: string;
  /** Whose they are. */
  readonly userId: string;
  /** Seconds until the access token expires. */
  readonly expiresInSeconds: number;
}
