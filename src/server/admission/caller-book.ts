/** What is known of callers, by their keys: of those who have something, and of some who had. */
export class CallerBook<Caller extends { readonly key: string; readonly isIdle: boolean }> {
  readonly #callers = new Map<string, Caller>();
  readonly #create: (key: string) => Caller;

  constructor(create: (key: string) => Caller) {
    this.#create = create;
  }

  get size(): number {
    return this.#callers.size;
  }

  of(key: string): Caller {
    let caller = this.#callers.get(key);
    if (caller === undefined) {
      caller = this.#create(key);
      this.#callers.set(key, caller);
    }
    return caller;
  }

  /** Something has been given back. */
  settle(caller: Caller): void {
    // To keep those who will soon be back is cheaper than to make them anew, a call after the other.
    if (caller.isIdle && this.#callers.size > maxCallersKept) this.#callers.delete(caller.key);
  }
}

const maxCallersKept = 1_000;
