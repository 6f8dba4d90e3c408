import { type BatchBounds, createBatcher, type OnBatch, type Submit } from "./batcher.ts";

/** How a loader loads. */
export interface BatchLoaderOptions<Key, Value> extends BatchBounds {
  /** Loads what there is of the keys, each of which comes once. When it fails, it fails all who asked for them. */
  readonly load: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>;
  /** What a look-up fails with where there is no such key. */
  readonly missing: () => Error;
  readonly onBatch?: OnBatch | undefined;
}

/**
 * Answers concurrent look-ups by key with one load a batch, see {@link createBatcher}. Nothing is cached: a value
 * is always from a load that began after it was asked for, so a caller reads its own writes.
 *
 * The load takes no caller's signal: one who leaves must not take the others' answer along.
 */
export function createBatchLoader<Key, Value extends object>({
  load,
  missing,
  ...bounds
}: BatchLoaderOptions<Key, Value>): Submit<Key, Value> {
  return createBatcher({
    ...bounds,
    async run(batch) {
      const keys = new Set<Key>();
      for (const { input } of batch) keys.add(input);
      const found = await load([...keys]);
      for (const { input, resolve, reject } of batch) {
        const value = found.get(input);
        if (value === undefined) {
          reject(missing());
        } else {
          resolve(value);
        }
      }
    },
  });
}
