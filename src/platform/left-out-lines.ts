/** How long is counted for one line. */
const countingMs = 1_000;

/**
 * Lines that the log has no room for: counted by their kind, and told of once a second at most. There must be no more
 * kinds than fit into a line.
 */
export class LeftOutLines {
  readonly #tell: (counts: Readonly<Record<string, number>>) => void;
  readonly #counts = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (counts: Readonly<Record<string, number>>) => void) {
    this.#tell = tell;
  }

  count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#timer ??= setTimeout(() => this.tellNow(), countingMs).unref();
  }

  /** Tells what has been counted so far, if anything. */
  tellNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#counts.size === 0) return;
    this.#tell(Object.fromEntries(this.#counts));
    this.#counts.clear();
  }
}
