/** How far back is looked, as a share of the greatest delay: most of what is known is younger than this. */
const memory = 0.5;

/**
 * How much a single delay counts at most. What is decided takes effect a turn of the event loop later, so a share that
 * followed each delay would swing between all and nothing as soon as half as much again comes as can be served; like
 * this it settles up to three times as much.
 */
const greatestWeight = 0.35;

/** From which share of the greatest delay on calls are refused. */
const firstShare = 0.5;

/** Up to which share of the greatest delay there is no load to speak of. */
const atEase = 0.1;

/**
 * Decides which share of calls to refuse, by how late the event loop is: none up to half of the greatest delay, all at
 * the greatest, and in between the more the later. Between all and nothing it finds the share that can be served; a
 * threshold would swing from one to the other.
 */
export class Shedding {
  /** How late the event loop is, smoothed, in milliseconds. */
  delayMs = 0;
  /** The share of calls to refuse, 0 to 1. */
  share = 0;
  readonly #maxDelayMs: number;
  #lastDelayMs = 0;

  constructor(maxDelayMs: number) {
    this.#maxDelayMs = maxDelayMs;
  }

  /** The event loop was late by so much, and the last time that this was said is so long ago. Both in milliseconds. */
  record(delayMs: number, elapsedMs: number): void {
    const wasAtEase = this.#lastDelayMs < this.#maxDelayMs * atEase;
    this.#lastDelayMs = delayMs;
    // A load grows. What comes out of nothing is a pause, however long it is, until it comes again.
    if (wasAtEase && delayMs > this.#maxDelayMs * firstShare) return;
    const weight = Math.min(1 - Math.exp(-elapsedMs / (memory * this.#maxDelayMs)), greatestWeight);
    this.delayMs += (delayMs - this.delayMs) * weight;
    const beyond = this.delayMs / this.#maxDelayMs - firstShare;
    this.share = Math.min(Math.max(beyond / (1 - firstShare), 0), 1);
  }
}
