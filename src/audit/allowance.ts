/** How much may be had at once, and how much comes back in a second. */
export interface AllowanceBounds {
  readonly atOnce: number;
  readonly perSecond: number;
}

/** Something of which there is only so much at once, and so much in the long run: a token bucket. */
export class Allowance {
  readonly #bounds: AllowanceBounds;
  #left: number;
  #asOfMs: number;

  constructor(bounds: AllowanceBounds, nowMs: number) {
    this.#bounds = bounds;
    this.#left = bounds.atOnce;
    this.#asOfMs = nowMs;
  }

  /** Whether there is one more. Times are milliseconds. */
  isLeft(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left >= 1;
  }

  /** Takes one. @returns whether there was one */
  take(nowMs: number): boolean {
    const isLeft = this.isLeft(nowMs);
    if (isLeft) this.#left -= 1;
    return isLeft;
  }

  /** Whether all of it is there: as good as one that was never used. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left === this.#bounds.atOnce;
  }

  #refill(nowMs: number): void {
    const { atOnce, perSecond } = this.#bounds;
    // A clock that is put back gives nothing and takes nothing.
    const seconds = Math.max(nowMs - this.#asOfMs, 0) / 1_000;
    this.#left = Math.min(this.#left + seconds * perSecond, atOnce);
    this.#asOfMs = nowMs;
  }
}
