import http2 from "node:http2";
import { queuedBytes } from "../../lane/write-queue.ts";
import type { ConnectionConfig } from "../../platform/config.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionTimer } from "./connection-register.ts";
import type { Looks } from "./looks.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_SETTINGS_TIMEOUT } = http2.constants;

/** What a connection over HTTP/2 has come to. */
export interface Verdict {
  readonly timer: ConnectionTimer;
  /** What its peer is told; undefined: nobody is there to be told. */
  readonly goAway: { readonly code: number; readonly text: string } | undefined;
}

const noSettings: Verdict = {
  timer: "settings",
  goAway: {
    code: NGHTTP2_SETTINGS_TIMEOUT,
    text: "no preface and SETTINGS in time: send them first, at once",
  },
};
const slowHeader: Verdict = {
  timer: "header",
  goAway: { code: NGHTTP2_ENHANCE_YOUR_CALM, text: "a header took too long: send it without pauses" },
};
const silence: Verdict = { timer: "keepalive", goAway: undefined };

/** After how many looks what is over. */
export interface SessionTimers {
  readonly header: number;
  readonly keepaliveInterval: number;
  readonly keepaliveTimeout: number;
}

/** Reads them from the settings. */
export function toSessionTimers(config: ConnectionConfig, looks: Looks): SessionTimers {
  return {
    header: looks.within(config.headerTimeoutMs),
    keepaliveInterval: looks.within(config.keepaliveIntervalMs),
    keepaliveTimeout: looks.within(config.keepaliveTimeoutMs),
  };
}

/**
 * Watches over the three timers of an HTTP/2 connection, for which Node has no events of its own.
 *
 * - **SETTINGS**: whether they have come, Node tells.
 * - **Header**: nghttp2 counts a stream from the first bytes of its HEADERS frame, Node announces it when the header is
 *   whole. A stream that is counted and not announced has a header on its way, or one that was refused unseen. A PING
 *   tells which: nobody can answer it from amid a header (RFC 9113, section 6.10: nothing may come between its frames).
 * - **Keepalive**: any byte is a sign of life, be it sent or taken; without one for long, a PING asks for it.
 */
export class SessionHealth {
  readonly #connection: Connection;
  readonly #session: http2.ServerHttp2Session;
  readonly #timers: SessionTimers;
  #hasSettings = false;
  #looks = 0;
  #readBytes = 0;
  #queuedBytes = 0;
  #quietLooks = 0;
  #suspectId = 0;
  #suspectLooks = 0;
  #clearedId = 0;

  constructor(connection: Connection, session: http2.ServerHttp2Session, timers: SessionTimers) {
    this.#connection = connection;
    this.#session = session;
    this.#timers = timers;
    session.once("remoteSettings", () => {
      this.#hasSettings = true;
    });
  }

  /** Looks once. @returns why the connection must end, if it must */
  look(): Verdict | undefined {
    if (this.#session.destroyed) return undefined;
    const { socket } = this.#connection;
    const { bytesRead } = socket;
    const queued = queuedBytes(socket);
    // Who takes what is sent is there: while a large write is being taken, Node reads nothing.
    const isQuiet = bytesRead === this.#readBytes && queued === this.#queuedBytes;
    this.#readBytes = bytesRead;
    this.#queuedBytes = queued;
    if (!this.#hasSettings) return ++this.#looks >= this.#timers.header ? noSettings : undefined;
    // A header begins with bytes.
    if ((!isQuiet || this.#suspectId > 0) && this.#hasSlowHeader()) return slowHeader;
    return this.#isDead(isQuiet) ? silence : undefined;
  }

  #hasSlowHeader(): boolean {
    const { lastProcStreamID: countedId = 0 } = this.#session.state;
    if (countedId <= this.#connection.lastStreamId || countedId <= this.#clearedId) {
      this.#suspectId = 0;
      return false;
    }
    if (countedId !== this.#suspectId) {
      this.#suspectId = countedId;
      this.#suspectLooks = 0;
      this.#session.ping((error) => {
        if (error === null) this.#clearedId = Math.max(this.#clearedId, countedId);
      });
    }
    // Node reads nothing while its peer has not taken what it was sent: an answer may have come long ago.
    if (this.#queuedBytes > 0) return false;
    return ++this.#suspectLooks >= this.#timers.header;
  }

  #isDead(isQuiet: boolean): boolean {
    if (!isQuiet) {
      this.#quietLooks = 0;
      return false;
    }
    const { keepaliveInterval, keepaliveTimeout } = this.#timers;
    if (++this.#quietLooks === keepaliveInterval) this.#session.ping(ignore);
    return this.#quietLooks >= keepaliveInterval + keepaliveTimeout;
  }
}

function ignore(): void {}
