import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";

/** When an HTTP/2 connection is asked whether it still is one. */
export interface KeepAlive {
  /** One that has been silent for so long is asked, by a ping: while calls are on it, and before the next one. */
  readonly intervalMs: number;
  /** One that has not answered to a ping for so long is ended. */
  readonly timeoutMs: number;
  /** Asks it also while it is idle, so that no call has to wait for the answer. */
  readonly whileIdle: boolean;
  /** One without calls for so long is ended; undefined means never. */
  readonly idleTimeoutMs?: number;
}

/** What is known of one connection's life. */
export interface SessionWatch {
  /** Counts a call on it, until its stream closes: those keep the process running, an idle connection does not. */
  add(stream: ClientHttp2Stream): void;
  /** Something has come from the server. */
  noteSign(): void;
  /** Whether it lives: known without asking where something has come lately, otherwise once it has answered. */
  check(): Promise<boolean> | boolean;
}

/** Watches a session that has connected, until it closes. */
export function watchSession(session: ClientHttp2Session, options: KeepAlive): SessionWatch {
  const { intervalMs, timeoutMs, whileIdle, idleTimeoutMs = Number.POSITIVE_INFINITY } = options;
  let holds = 0;
  let lastUseAt = performance.now();
  let lastSignAt = performance.now();
  let asking: Promise<boolean> | undefined;
  const timer = setTimeout(look, intervalMs).unref();
  session.once("close", () => clearTimeout(timer));
  session.unref();

  /** Nothing is due before the interval has passed once more. */
  function rearm(): void {
    // To refresh a timer that was cleared would start it.
    if (!session.destroyed) timer.refresh();
  }

  function noteSign(): void {
    lastSignAt = performance.now();
    rearm();
  }

  function hold(): void {
    holds += 1;
    if (holds > 1) return;
    session.ref();
    rearm();
  }

  function release(): void {
    holds -= 1;
    if (holds > 0) return;
    session.unref();
    lastUseAt = performance.now();
  }

  function ask(): Promise<boolean> {
    asking ??= ping(session, timeoutMs).then((isAlive) => {
      asking = undefined;
      if (isAlive) noteSign();
      else rearm();
      return isAlive;
    });
    return asking;
  }

  function look(): void {
    if (session.destroyed) return;
    if (holds > 0 || whileIdle) ask();
    else if (performance.now() - lastUseAt >= idleTimeoutMs) session.close();
    else rearm();
  }

  async function askForCall(): Promise<boolean> {
    hold();
    try {
      return await ask();
    } finally {
      release();
    }
  }

  return {
    add(stream) {
      hold();
      stream.once("response", noteSign);
      stream.once("close", release);
    },
    noteSign,
    check: () => performance.now() - lastSignAt < intervalMs || askForCall(),
  };
}

/** Whether it answers; one that does not in time is ended. */
function ping(session: ClientHttp2Session, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => session.destroy(new Error("no answer to a ping")), timeoutMs).unref();
    function end(isAlive: boolean): void {
      clearTimeout(timer);
      session.off("close", endDead);
      resolve(isAlive);
    }
    const endDead = () => end(false);
    session.once("close", endDead);
    // To ping a destroyed session throws.
    if (session.destroyed) end(false);
    else session.ping((error) => end(error === null && !session.destroyed));
  });
}
