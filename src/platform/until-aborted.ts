import { currentWork, runFor } from "./current-work.ts";

/**
 * Asks the database something for as long as a signal has not aborted. Then its reason is thrown at once, and what is
 * under way is cancelled behind it.
 *
 * Not by the signal that Kysely's `execute` takes: that one lets the statement go on.
 *
 * @param signal undefined: for as long as it takes
 * @throws the signal's reason, what `ask` throws
 */
export function untilAborted<Result>(
  signal: AbortSignal | undefined,
  ask: () => Promise<Result>,
): Promise<Result> {
  if (signal === undefined) return ask();
  const outer = currentWork();
  const work = {
    caller: signal,
    spans: outer?.spans ?? [],
    inBackground: outer === undefined || outer.inBackground === true,
  };
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    runFor(work, ask)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}
