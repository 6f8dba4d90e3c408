import type { Rate } from "../platform/config-fields.ts";
import { TokenBucket } from "../platform/token-bucket.ts";
import type { AuditDraft } from "../writes/write-record.ts";
import type { CountedDraft } from "./audit-entry.ts";

/** What keeps a flood of refusals from filling the memory and the disk. */
export interface RefusalBounds {
  /** How many may wait to be inserted. */
  readonly maxWaiting: number;
  /** How many are written one by one, of all. */
  readonly all: Rate;
  /** How many are written one by one, of those from one address: nobody uses up what is everybody's. */
  readonly address: Rate;
  /** How many kinds are counted apart. */
  readonly maxKinds: number;
  /** How long is counted for one entry, in milliseconds. */
  readonly countingMs: number;
}

/**
 * A burst, such as a program with a wrong key makes, is written whole. Whoever goes on for ever, from however many
 * addresses, makes some 20 entries a second: 2 million a day, of 400 bytes each with their indexes.
 */
export const defaultRefusalBounds: RefusalBounds = {
  maxWaiting: 10_000,
  all: { atOnce: 5_000, perSecond: 20 },
  address: { atOnce: 1_000, perSecond: 5 },
  maxKinds: 1_000,
  countingMs: 60_000,
};

/**
 * The refusals that are still to be written. Each is an entry of its own as long as there is room for it; beyond that
 * they are counted by their kind, so that none is lost without a trace, whatever comes.
 */
export class RefusalBook {
  readonly #bounds: RefusalBounds;
  readonly #waiting: CountedDraft[] = [];
  readonly #all: TokenBucket;
  readonly #addresses = new Map<string, TokenBucket>();
  readonly #kinds = new Map<string, { readonly draft: AuditDraft; calls: number }>();
  #countedSinceMs = 0;
  /** How many have been taken down so far: one by one, as part of a count, and of which no more is known than that. */
  readonly totals = { singly: 0, counted: 0, dropped: 0 };

  constructor(bounds: RefusalBounds, nowMs: number) {
    this.#bounds = bounds;
    this.#all = new TokenBucket(bounds.all, nowMs);
  }

  /** Whether nothing is left to be written. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#kinds.size === 0;
  }

  /** How many entries are ready to be written. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes a refusal down, whose time is now. */
  add(draft: AuditDraft): void {
    const nowMs = draft.occurredAt.getTime();
    // First what is everybody's: while there is none, no address is remembered, of which there may be any number.
    if (!this.#hasRoom || !this.#all.isLeft(nowMs)) {
      this.#count({ ...draft, address: "" }, nowMs);
    } else if (!this.#bucketOf(draft.address, nowMs).take(nowMs)) {
      this.#count(draft, nowMs);
    } else {
      this.#all.take(nowMs);
      this.totals.singly += 1;
      this.#waiting.push({ ...draft, calls: 1 });
    }
  }

  /**
   * The oldest entries, which stay here until they are said to be written.
   *
   * @param everything also what is still being counted
   */
  next(limit: number, nowMs: number, everything = false): readonly CountedDraft[] {
    const isDue = nowMs - this.#countedSinceMs >= this.#bounds.countingMs && this.#hasRoom;
    if (everything || isDue) {
      for (const { draft, calls } of this.#kinds.values()) this.#waiting.push({ ...draft, calls });
      this.#kinds.clear();
      this.#countedSinceMs = nowMs;
      this.#forgetFullBuckets(nowMs);
    }
    return this.#waiting.slice(0, limit);
  }

  /** So many of the oldest entries are written. */
  written(count: number): void {
    this.#waiting.splice(0, count);
  }

  /** How many calls have been taken down and not written. */
  countCalls(): number {
    const entries = [...this.#waiting, ...this.#kinds.values()];
    return entries.reduce((sum, { calls }) => sum + calls, 0);
  }

  get #hasRoom(): boolean {
    return this.#waiting.length < this.#bounds.maxWaiting;
  }

  #count({ occurredAt, procedure, outcome, reason, address }: AuditDraft, nowMs: number): void {
    if (this.#kinds.size === 0) this.#countedSinceMs = nowMs;
    const key = JSON.stringify([procedure, outcome, reason, address]);
    const counted = this.#kinds.get(key);
    if (counted !== undefined) {
      this.totals.counted += 1;
      counted.calls += 1;
    } else if (this.#kinds.size < this.#bounds.maxKinds) {
      this.totals.counted += 1;
      this.#kinds.set(key, {
        draft: { ...nobody, occurredAt, procedure, outcome, reason, address },
        calls: 1,
      });
    } else {
      this.#countDropped(occurredAt);
    }
  }

  /** The last resort: all that is known of these is that they were. */
  #countDropped(occurredAt: Date): void {
    this.totals.dropped += 1;
    const dropped = this.#kinds.get("");
    if (dropped === undefined) {
      this.#kinds.set("", { draft: { ...nobody, occurredAt, reason: "DROPPED" }, calls: 1 });
    } else {
      dropped.calls += 1;
    }
  }

  #bucketOf(address: string, nowMs: number): TokenBucket {
    let bucket = this.#addresses.get(address);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#bounds.address, nowMs);
      this.#addresses.set(address, bucket);
    }
    return bucket;
  }

  #forgetFullBuckets(nowMs: number): void {
    for (const [address, bucket] of this.#addresses) {
      if (bucket.isFull(nowMs)) this.#addresses.delete(address);
    }
  }
}

/** What an entry that stands for several does not say. */
const nobody: AuditDraft = {
  occurredAt: new Date(0),
  actor: "",
  credential: "",
  procedure: "",
  subject: "",
  outcome: "",
  reason: "",
  address: "",
  requestId: "",
};
