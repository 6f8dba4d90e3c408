import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Logger } from "../platform/logger.ts";

/**
 * Bytes a second that a connection may spend on itself (PING, SETTINGS, WINDOW_UPDATE and the like): five thousand
 * such frames. Legitimate clients spend dozens.
 */
const upkeepBytesPerSecond = 64 * 1_024;

/** What it may spend at once: seconds' worth, since a client that was held up catches up. */
const maxCredit = 1_024 * 1_024;

/** A request's header, in one or more frames. What is larger than Node takes (64 KiB) never gets this far. */
const creditPerRequest = 16 * 1_024;

/** Messages of a few bytes, each in an envelope and a frame of its own, are legitimate. */
const creditPerBodyByte = 4;

/**
 * Who is sent much answers much: a window's update for each frame, and a ping with each to measure the way. The answer
 * to a ping is as long as the ping, so that a flood of pings pays for no more than a quarter of itself.
 */
const creditPerSentByte = 0.25;

const sweepEveryMs = 1_000;

const warningIntervalMs = 60_000;

/** Ends HTTP/2 connections that are mostly about themselves. */
export interface FloodGuard {
  /** Watches a connection to its end. `socket`: with TLS, what is inside it. */
  watch(session: ServerHttp2Session, socket: Socket): void;
  /** How many connections have been ended. */
  readonly ended: number;
  close(): void;
}

/** What a connection has done since it was last looked at. */
interface Account {
  readonly socket: Socket;
  credit: number;
  receivedBytes: number;
  sentBytes: number;
  requests: number;
  bodyBytes: number;
}

const accountOf = Symbol("account");

interface Watched {
  [accountOf]?: Account | undefined;
}

/**
 * Creates a guard against floods of control frames. Node shows hardly any of them, and nghttp2, below it, bounds some
 * (empty and unknown frames, PRIORITY, acknowledgements that nobody reads) but neither WINDOW_UPDATE nor PING and
 * SETTINGS whose acknowledgements are read: a connection may send them without end. So each connection has an account:
 * what it sends is taken from it; requests, their bodies, what it is sent and the time that passes are added. Where it
 * is overdrawn, the connection ends with ENHANCE_YOUR_CALM.
 */
export function createFloodGuard(logger: Pick<Logger, "warn">): FloodGuard {
  const sessions = new Set<ServerHttp2Session & Watched>();
  let sweptAt = performance.now();
  let [ended, endedBeforeWarning] = [0, 0];
  let warnedAt = Number.NEGATIVE_INFINITY;
  const timer = setInterval(sweep, sweepEveryMs);
  timer.unref();

  function sweep(): void {
    const now = performance.now();
    const upkeep = ((now - sweptAt) / 1_000) * upkeepBytesPerSecond;
    sweptAt = now;
    for (const session of sessions) {
      const account = session[accountOf] as Account;
      settle(account, upkeep);
      if (account.credit < 0) end(session, account, now);
    }
  }

  function end(session: ServerHttp2Session, { socket }: Account, now: number): void {
    ended++;
    if (now - warnedAt >= warningIntervalMs) {
      warnedAt = now;
      const connections = ended - endedBeforeWarning;
      endedBeforeWarning = ended;
      const fields = { address: socket.remoteAddress, connections };
      logger.warn(fields, "a flood of HTTP/2 control frames: its connections are ended");
    }
    // Says so by GOAWAY, where the peer reads; does not wait for it.
    session.destroy(undefined, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  return {
    watch(session: ServerHttp2Session & Watched, socket) {
      session[accountOf] = {
        socket,
        credit: maxCredit,
        receivedBytes: 0,
        sentBytes: 0,
        requests: 0,
        bodyBytes: 0,
      };
      sessions.add(session);
      session.on("stream", countRequest);
      session.once("close", () => sessions.delete(session));
    },
    get ended() {
      return ended;
    },
    close: () => clearInterval(timer),
  };
}

function settle(account: Account, upkeep: number): void {
  const { bytesRead, bytesWritten } = account.socket;
  const earned =
    upkeep +
    account.requests * creditPerRequest +
    account.bodyBytes * creditPerBodyByte +
    (bytesWritten - account.sentBytes) * creditPerSentByte;
  // What is earned is spent first: credit that is saved up has a bound, whatever was earned.
  account.credit = Math.min(maxCredit, account.credit + earned - (bytesRead - account.receivedBytes));
  account.receivedBytes = bytesRead;
  account.sentBytes = bytesWritten;
  account.requests = 0;
  account.bodyBytes = 0;
}

function countRequest(this: ServerHttp2Session & Watched, stream: ServerHttp2Stream & Watched): void {
  const account = this[accountOf];
  if (account === undefined) return;
  account.requests++;
  stream[accountOf] = account;
  // Not `on`, which would make the stream flow before anybody reads it.
  stream.prependListener("data", countBody);
}

function countBody(this: Watched, chunk: Buffer): void {
  const account = this[accountOf];
  if (account !== undefined) account.bodyBytes += chunk.length;
}
