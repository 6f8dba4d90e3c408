import { randomInt } from "node:crypto";
import type { Rate } from "../../platform/config-fields.ts";
import { TokenBucket } from "../../platform/token-bucket.ts";

/** How many callers are counted apart. A bucket takes some 200 bytes. */
const defaultMaxBuckets = 50_000;

/** How many buckets those share who come when there is no room for more. */
const sharedBuckets = 256;

/** How many buckets are looked at for each that is made: as long as it is more than one, all are looked at in time. */
const lookedAtOnce = 4;

/** What can be chosen about a limit. */
export interface RateLimitOptions {
  readonly maxBuckets?: number;
  /** What a key is part of that one attacker may have many of; the key itself unless said otherwise. */
  readonly widen?: (key: string) => string;
}

/**
 * How often each of many may do something: a token bucket each. Times are milliseconds of a clock that nobody sets.
 *
 * Buckets that are full again are forgotten, and no others: whoever could have theirs forgotten by filling the memory
 * would begin anew with a full one. Where there is no room for more, newcomers share a few buckets, all of one provider
 * the same: an attacker with a million addresses shares one with itself, and honest newcomers mostly another.
 */
export class RateLimit {
  readonly #rate: Rate;
  readonly #maxBuckets: number;
  readonly #widen: (key: string) => string;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #shared: (TokenBucket | undefined)[] = new Array(sharedBuckets).fill(undefined);
  /** So that nobody can choose whom to share with. */
  readonly #seed = randomInt(2 ** 32);
  #hand = this.#buckets.entries();

  constructor(rate: Rate, { maxBuckets = defaultMaxBuckets, widen = (key) => key }: RateLimitOptions = {}) {
    this.#rate = rate;
    this.#maxBuckets = maxBuckets;
    this.#widen = widen;
  }

  /** How many are counted apart now. */
  get size(): number {
    return this.#buckets.size;
  }

  /** @returns how long it takes until there is one for this key; 0: there was one, and it has been taken */
  take(key: string, nowMs: number): number {
    const bucket = this.#buckets.get(key) ?? this.#create(key, nowMs);
    return bucket.take(nowMs) ? 0 : bucket.waitMs(nowMs);
  }

  #create(key: string, nowMs: number): TokenBucket {
    this.#forgetFull(nowMs);
    if (this.#buckets.size >= this.#maxBuckets) return this.#share(this.#widen(key), nowMs);
    const bucket = new TokenBucket(this.#rate, nowMs);
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #forgetFull(nowMs: number): void {
    for (let looked = 0; looked < lookedAtOnce; looked++) {
      const { value, done } = this.#hand.next();
      if (done === true) {
        this.#hand = this.#buckets.entries();
        return;
      }
      const [key, bucket] = value;
      if (bucket.isFull(nowMs)) this.#buckets.delete(key);
    }
  }

  #share(key: string, nowMs: number): TokenBucket {
    const at = hash(key, this.#seed) % sharedBuckets;
    this.#shared[at] ??= new TokenBucket(this.#rate, nowMs);
    return this.#shared[at];
  }
}

/** FNV-1a, begun with a secret. */
function hash(text: string, seed: number): number {
  let value = seed;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}
