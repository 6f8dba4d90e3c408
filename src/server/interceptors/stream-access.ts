import { wrapBursts } from "../../lane/bursts.ts";
import { PermissionDeniedError, UnauthenticatedError } from "../../platform/access.errors.ts";
import type { Credential, Door } from "../../platform/door.ts";
import type { Principal } from "../../platform/principal.ts";

/**
 * How often the credentials behind streams are asked about. What is in memory may be four tenths of a second old, so a
 * stream outlives its credential by less than a second.
 */
const intervalMs = 250;

/** A stream for as long as its caller may have it. */
export interface GuardedStream {
  /** The promise's outcome, or a rejection as soon as the caller may not have the stream any more. */
  orEnd<T>(promise: Promise<T>): Promise<T>;
  /** The same messages, failing as soon as the caller may not have them any more, also where none comes. */
  guard<T>(messages: AsyncIterable<T>): AsyncIterable<T>;
}

/** Ends streams whose callers may not have them any more. */
export interface StreamGuard {
  /**
   * Watches a stream that its caller may have right now.
   *
   * @param permission what lets them; undefined: to be known is enough
   * @param signal aborts when the stream has ended, however
   */
  watch(credential: Credential, permission: string | undefined, signal: AbortSignal): GuardedStream;
}

/** The streams of one credential. */
interface Entry {
  readonly credential: Credential;
  readonly streams: Set<WatchedStream>;
  isAsking: boolean;
}

/**
 * Creates the guard. It asks the door about each credential, however many streams it has, by one timer, which runs
 * while there are streams.
 */
export function createStreamGuard(door: Pick<Door, "identify">): StreamGuard {
  const entries = new Map<string, Entry>();
  let timer: NodeJS.Timeout | undefined;

  function askAll(): void {
    for (const entry of entries.values()) if (!entry.isAsking) void ask(entry);
  }

  async function ask(entry: Entry): Promise<void> {
    entry.isAsking = true;
    try {
      const found = door.identify(entry.credential);
      judge(entry, found instanceof Promise ? await found : found);
    } catch (error) {
      // Nobody can say that it is still good. Whoever calls again waits until somebody can.
      for (const stream of entry.streams) stream.end(error);
    } finally {
      entry.isAsking = false;
    }
  }

  function add(credential: Credential, stream: WatchedStream): () => void {
    const key = keyOf(credential);
    const entry = entries.get(key) ?? { credential, streams: new Set(), isAsking: false };
    entry.streams.add(stream);
    entries.set(key, entry);
    timer ??= setInterval(askAll, intervalMs).unref();
    return () => {
      entry.streams.delete(stream);
      if (entry.streams.size > 0 || entries.get(key) !== entry) return;
      entries.delete(key);
      if (entries.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }

  return {
    watch(credential, permission, signal) {
      const stream = new WatchedStream(permission);
      if (!signal.aborted) signal.addEventListener("abort", add(credential, stream), { once: true });
      return stream;
    },
  };
}

function judge({ streams }: Entry, principal: Principal | undefined): void {
  for (const stream of streams) {
    const { permission } = stream;
    if (principal === undefined) stream.end(new UnauthenticatedError("CREDENTIAL_ENDED"));
    else if (permission !== undefined && !principal.permits(permission)) {
      stream.end(new PermissionDeniedError(permission));
    }
  }
}

/** The same for the same credential, whichever connection it came by. */
function keyOf(credential: Credential): string {
  return `${credential.kind} ${credential.kind === "certificate" ? credential.certificate.fingerprint256 : credential.text}`;
}

/**
 * What waits for a stream is kept here until it comes, and rejected when the stream ends. (A promise of the end that
 * each wait would race against would keep all of them.)
 */
class WatchedStream implements GuardedStream {
  readonly permission: string | undefined;
  readonly #waiting = new Set<(reason: unknown) => void>();
  #ended: { readonly reason: unknown } | undefined;

  constructor(permission: string | undefined) {
    this.permission = permission;
  }

  end(reason: unknown): void {
    this.#ended ??= { reason };
    for (const reject of this.#waiting) reject(this.#ended.reason);
    this.#waiting.clear();
  }

  orEnd<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) reject(this.#ended.reason);
      else this.#waiting.add(reject);
      const settle = (): void => void this.#waiting.delete(reject);
      promise.then(
        (value) => {
          settle();
          resolve(value);
        },
        (error) => {
          settle();
          reject(error);
        },
      );
    });
  }

  guard<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    return wrapBursts(messages, (items) => this.#guardItems(items));
  }

  /** Not a generator: one can be left only when its source gives the next item. */
  #guardItems<U>(items: AsyncIterable<U>): AsyncIterable<U> {
    return {
      [Symbol.asyncIterator]: () => {
        const iterator = items[Symbol.asyncIterator]();
        return {
          next: () => this.orEnd(iterator.next()),
          return: async (value) => (await iterator.return?.(value)) ?? { done: true, value },
        };
      },
    };
  }
}
