import type { Rate } from "./config-fields.ts";

/**
 * Something of which there is only so much at once, and so much in the long run: a token bucket. Times are
 * milliseconds of one clock, whichever. A clock that is put back gives nothing and takes nothing.
 */
export class TokenBucket {
  readonly #rate: Rate;
  #left: number;
  #asOfMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#left = rate.atOnce;
    this.#asOfMs = nowMs;
  }

  /** Whether there is one more. */
  isLeft(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left >= 1;
  }

  /** Takes one, but leaves `reserve`. @returns whether there was one */
  take(nowMs: number, reserve = 0): boolean {
    this.#refill(nowMs);
    if (this.#left < 1 + reserve) return false;
    this.#left -= 1;
    return true;
  }

  /** How long it takes until there is one more; 0: there is. */
  waitMs(nowMs: number): number {
    if (this.isLeft(nowMs)) return 0;
    // Not less than it takes: what is left is a fraction, and its sum with what comes back is rounded.
    return Math.floor(((1 - this.#left) / this.#rate.perSecond) * 1_000) + 1;
  }

  /** Whether all of it is there: as good as one that was never used. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left === this.#rate.atOnce;
  }

  #refill(nowMs: number): void {
    const { atOnce, perSecond } = this.#rate;
    const seconds = Math.max(nowMs - this.#asOfMs, 0) / 1_000;
    this.#left = Math.min(this.#left + seconds * perSecond, atOnce);
    this.#asOfMs = nowMs;
  }
}
