/** Where an iterable of messages keeps them as the bursts that they come in. */
const source = Symbol("bursts");

interface Bursting<T> extends AsyncIterable<T> {
  readonly [source]: AsyncIterable<readonly T[]>;
}

/**
 * Makes an ordinary stream of messages of one that gives several at a time.
 *
 * Whoever iterates over it gets single messages, each at the cost of a few promises. Whoever knows of bursts
 * ({@link readBursts}) gets them whole, and pays those once a burst.
 */
export function fromBursts<T>(bursts: AsyncIterable<readonly T[]>): AsyncIterable<T> {
  const stream: Bursting<T> = {
    [source]: bursts,
    async *[Symbol.asyncIterator]() {
      for await (const burst of bursts) yield* burst;
    },
  };
  return stream;
}

/** The messages as they come: in bursts, or one at a time. */
export function readBursts<T>(messages: AsyncIterable<T>): AsyncIterable<readonly T[]> {
  return isBursting(messages) ? messages[source] : mapItems(messages, (message) => [message]);
}

/**
 * The same stream with every burst passed through `change`, e.g. to catch the source's failures; it stays a
 * stream of bursts, or of single messages, as it was.
 */
export function wrapBursts<T>(
  messages: AsyncIterable<T>,
  wrap: <U>(items: AsyncIterable<U>) => AsyncIterable<U>,
): AsyncIterable<T> {
  return isBursting(messages) ? fromBursts(wrap(messages[source])) : wrap(messages);
}

/** The same stream with each burst changed; where nothing is to change, `change` returns the very same array. */
export function mapBursts<T>(
  messages: AsyncIterable<T>,
  change: (burst: readonly T[]) => readonly T[],
): AsyncIterable<T> {
  return isBursting(messages)
    ? fromBursts(mapItems(messages[source], change))
    : mapItems(messages, (message) => change([message])[0] as T);
}

/**
 * The same items, each changed. Without a generator of its own, which each subscriber of a stream would have to keep,
 * and which could be left only when the source gives its next item.
 */
export function mapItems<T, U>(items: AsyncIterable<T>, change: (item: T) => U): AsyncIterable<U> {
  const toResult = (result: IteratorResult<T>): IteratorResult<U> =>
    result.done === true ? result : { done: false, value: change(result.value) };
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () => iterator.next().then(toResult),
        return: async (value) => {
          await iterator.return?.(value);
          return { done: true, value };
        },
      };
    },
  };
}

function isBursting<T>(messages: AsyncIterable<T>): messages is Bursting<T> {
  return source in messages;
}
