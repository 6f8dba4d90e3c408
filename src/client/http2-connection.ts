import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect as connectHttp2,
  constants,
  type Http2Session,
  type SecureClientSessionOptions,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";
import { type KeepAlive, type SessionWatch, watchSession } from "./keep-alive.ts";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/** How a connection is made and kept. */
export interface Http2ConnectionOptions {
  /** It goes to this URL's origin. */
  readonly baseUrl: string;
  readonly connectTimeoutMs: number;
  readonly keepAlive: KeepAlive;
  /** As `http2.connect` takes them, and at an https URL `tls.connect`. */
  readonly session?: ClientSessionOptions | SecureClientSessionOptions | undefined;
}

/**
 * One HTTP/2 connection, made when it is needed and again after it was lost, as connect-node's transports take it.
 * While it is idle it does not keep the process running.
 *
 * In place of connect-node's Http2SessionManager (2.2.0), of which a server that ends can end the whole process (the
 * error of a session whose listeners are gone, and a ping on one that is destroyed), and which lets a call wait for
 * its deadline whose stream was closed without an answer.
 */
export interface Http2Connection extends SessionManager {
  readonly isConnected: boolean;
  /** Connects unless it is connected; concurrent callers share the attempt. Fails with UNAVAILABLE. */
  connect(): Promise<void>;
  /** Closes it and fails what is on it. */
  close(): void;
}

/** A session that has connected. */
interface OpenSession {
  readonly session: ClientHttp2Session;
  readonly watch: SessionWatch;
}

/** Prepares a connection; nothing happens before it is needed. */
export function createHttp2Connection(options: Http2ConnectionOptions): Http2Connection {
  const { baseUrl, connectTimeoutMs, session: sessionOptions } = options;
  let { keepAlive } = options;
  /** Takes new requests; one that is ending may have calls on it, but is not this any more. */
  let current: OpenSession | undefined;
  let connecting: Promise<OpenSession> | undefined;
  const all = new Map<Http2Session, SessionWatch | undefined>();

  function leave(session: ClientHttp2Session): void {
    if (current?.session === session) current = undefined;
  }

  function open(): Promise<OpenSession> {
    return new Promise((resolve, reject) => {
      const session = connectHttp2(baseUrl, sessionOptions);
      let failure: unknown;
      const timer = setTimeout(() => session.destroy(new Error("the server is silent")), connectTimeoutMs);
      all.set(session, undefined);
      // Listens for as long as the session lives: an error that nobody listens for ends the process.
      session.on("error", (error) => (failure = error));
      session.once("connect", () => {
        clearTimeout(timer);
        const watch = watchSession(session, keepAlive);
        all.set(session, watch);
        current = { session, watch };
        resolve(current);
      });
      session.once("goaway", (_code, _lastStreamId, reason?: Buffer) => {
        leave(session);
        // As gRPC's servers say it (gRFC A8, "Basic Keepalive").
        if (reason?.toString() === "too_many_pings") {
          keepAlive = { ...keepAlive, intervalMs: keepAlive.intervalMs * 2 };
        }
      });
      session.once("close", () => {
        clearTimeout(timer);
        all.delete(session);
        leave(session);
        reject(failToConnect(failure));
      });
    });
  }

  async function getSession(): Promise<OpenSession> {
    while (current !== undefined && isUsable(current)) {
      const candidate = current;
      const isAlive = candidate.watch.check();
      // While it was asked, it may have begun to end.
      if (isAlive === true || ((await isAlive) && isUsable(candidate))) return candidate;
      leave(candidate.session);
    }
    connecting ??= open().finally(() => {
      connecting = undefined;
    });
    return connecting;
  }

  return {
    authority: new URL(baseUrl).origin,
    get isConnected() {
      return current !== undefined && isUsable(current);
    },
    async connect() {
      await getSession();
    },
    async request(method, path, headers, requestOptions) {
      const { session, watch } = await getSession();
      const stream = session.request({ ...headers, ":method": method, ":path": path }, requestOptions);
      watch.add(stream);
      failIfUnanswered(stream);
      return stream;
    },
    notifyResponseByteRead({ session }) {
      if (session !== undefined) all.get(session)?.noteSign();
    },
    close() {
      for (const session of all.keys()) {
        session.destroy(
          new ConnectError("the connection was closed", Code.Canceled),
          constants.NGHTTP2_CANCEL,
        );
      }
    },
  };
}

function failToConnect(failure: unknown): ConnectError {
  const reason = failure instanceof Error && failure.message !== "" ? `: ${failure.message}` : "";
  return new ConnectError(`no connection${reason}`, Code.Unavailable, undefined, undefined, failure);
}

function isUsable({ session }: OpenSession): boolean {
  return !session.closed && !session.destroyed;
}

/** A server that ends can close a stream without an error and without an answer, which nobody would hear of. */
function failIfUnanswered(stream: ClientHttp2Stream): void {
  let isAnswered = false;
  stream.once("response", () => {
    isAnswered = true;
  });
  stream.once("close", () => {
    if (!isAnswered && stream.rstCode === constants.NGHTTP2_NO_ERROR) {
      const reset = new Error("the stream was closed without an answer");
      stream.emit("error", Object.assign(reset, { code: "ECONNRESET" }));
    }
  });
}
