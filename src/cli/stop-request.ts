import { constants } from "node:os";

/**
 * A terminal sends Ctrl-C to a whole group of processes, and npm and the launcher hand theirs on: several
 * signals for one key stroke. A person's second Ctrl-C comes later than this.
 */
const keyStrokeMs = 300;

/** Somebody's wish that a command end. */
export interface StopRequest {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** What a shell expects of a command that a signal ended (128 + its number); undefined before. */
  exitStatus(): number | undefined;
  /** Leaves later signals to their defaults. */
  ignore(): void;
}

/** Listens for the wish; at the second signal the process ends at once. */
export function listenForStop(): StopRequest {
  const stop = new AbortController();
  let first: { at: number; status: number } | undefined;

  function onSignal(signal: NodeJS.Signals): void {
    const status = 128 + constants.signals[signal];
    if (first === undefined) {
      first = { at: performance.now(), status };
      stop.abort();
    } else if (signal !== "SIGINT" || performance.now() - first.at > keyStrokeMs) {
      process.exit(status);
    }
  }
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return {
    signal: stop.signal,
    exitStatus: () => first?.status,
    ignore() {
      process.off("SIGTERM", onSignal);
      process.off("SIGINT", onSignal);
    },
  };
}
