/** Aborts when the run ends, as planned or by Ctrl-C. */
const ending = new AbortController();

/** Aborted from the moment at which nothing may be started any more. */
export const endingSignal: AbortSignal = ending.signal;

const pending = new Set<() => Promise<void>>();

/**
 * Registers what must be undone even where the run is cut off. Returns a function that undoes it now; it is done
 * once, however often and by whomever it is called.
 */
export function undoAtEnd(undo: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  function once(): Promise<void> {
    done ??= undo().finally(() => pending.delete(once));
    return done;
  }
  pending.add(once);
  return once;
}

/** Undoes everything that is still registered, the latest first. Never fails: it is the last thing to happen. */
export async function cleanUp(): Promise<void> {
  ending.abort(new Error("the run is ending"));
  for (const undo of [...pending].reverse()) {
    await undo().catch((error: unknown) => process.stderr.write(`clean-up: ${String(error)}\n`));
  }
}
