/** Something that is over at some time; `performance.now()`. */
interface Expiring {
  readonly endsAt: number | undefined;
  /** Its time is over. */
  expire(): void;
}

/** How often is looked within the time that all have: what is over ends at most so late. */
const looksPerTimeout = 20;

const [minIntervalMs, maxIntervalMs] = [5, 1_000];

/**
 * The end of all that is given the same time: one clock for all, since who began first is over first. A timer each is
 * what a call pays most for that names no deadline of its own.
 */
export class SharedDeadline {
  /** In the order in which they began. */
  readonly #running = new Set<Expiring>();
  readonly #clock: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    const intervalMs = Math.min(Math.max(timeoutMs / looksPerTimeout, minIntervalMs), maxIntervalMs);
    this.#clock = setInterval(() => this.#look(), intervalMs);
    this.#clock.unref();
  }

  add(expiring: Expiring): void {
    this.#running.add(expiring);
  }

  delete(expiring: Expiring): void {
    this.#running.delete(expiring);
  }

  close(): void {
    clearInterval(this.#clock);
  }

  #look(): void {
    const now = performance.now();
    for (const expiring of this.#running) {
      if (expiring.endsAt === undefined || expiring.endsAt > now) return;
      this.#running.delete(expiring);
      expiring.expire();
    }
  }
}
