import { LRUCache } from "lru-cache";
import type { AuthenticatedKey } from "./api-key-authenticator.ts";

/**
 * What is known of keys, by their hashes, at one revision of `access_head`: at another one it is all forgotten, and so it
 * is where nobody knows the revision. Nothing is then believed that was kept before a database was away, or was put
 * back to an older state.
 */
export class ApiKeyMemory {
  readonly #usable: LRUCache<string, AuthenticatedKey>;
  /** Apart, so that garbage does not push good keys out. */
  readonly #useless: LRUCache<string, true>;
  #revision: bigint | undefined;

  constructor(capacity: number) {
    this.#usable = new LRUCache({ max: capacity });
    this.#useless = new LRUCache({ max: capacity });
  }

  /** What there is to the hash: a key, no key, or nothing that is known. */
  find(hash: string, revision: bigint | undefined): AuthenticatedKey | "none" | undefined {
    if (revision !== this.#revision) this.#beginAt(revision);
    return this.#usable.get(hash) ?? (this.#useless.get(hash) ? "none" : undefined);
  }

  /**
   * Keeps what was loaded.
   *
   * @param before the revision as it was known before the load: as long as it is the same, the load has missed nothing
   * @param after the revision as it is known now
   */
  keep(
    hash: string,
    key: AuthenticatedKey | undefined,
    before: bigint | undefined,
    after: bigint | undefined,
  ): void {
    if (before === undefined || before !== after) return;
    if (after !== this.#revision) this.#beginAt(after);
    if (key === undefined) {
      this.#useless.set(hash, true);
    } else {
      this.#usable.set(hash, key);
    }
  }

  #beginAt(revision: bigint | undefined): void {
    this.#revision = revision;
    // Clearing costs as much as there is room, and where the database is away each call comes here.
    if (this.#usable.size > 0) this.#usable.clear();
    if (this.#useless.size > 0) this.#useless.clear();
  }
}
