import { TokenBucket } from "./token-bucket.ts";

/** The part of a share that is not lent. */
const reserved = 1 / 4;

/**
 * So many lines a second, for several kinds of them. What a kind leaves unused, the others may have; but each has a
 * share of the lines, and at any moment a part of that share, which they cannot use up: so a flood of one kind hides
 * none of the others.
 */
export class LineBudget {
  readonly #shares: readonly TokenBucket[];
  readonly #reserve: number;

  /** @param kinds how many there are: they are numbered from 0 */
  constructor(linesPerSecond: number, kinds: number, nowMs: number) {
    const perSecond = linesPerSecond / kinds;
    // One may be lent, and one must be left.
    const rate = { perSecond, atOnce: Math.max(Math.ceil(perSecond), 2) };
    this.#shares = Array.from({ length: kinds }, () => new TokenBucket(rate, nowMs));
    this.#reserve = Math.ceil(rate.atOnce * reserved);
  }

  /** Takes a line. @returns whether there was one */
  take(kind: number, nowMs: number): boolean {
    if (this.#shares[kind]?.take(nowMs) === true) return true;
    for (const share of this.#shares) if (share.take(nowMs, this.#reserve)) return true;
    return false;
  }
}
