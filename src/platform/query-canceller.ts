import { Client, type Connection, type Pool } from "pg";
import { runDetached } from "./current-work.ts";

/** A wish to have what a session does cancelled. */
export interface Cancellation {
  /** Undefined while it waits to be sent. Then: whether the server has taken it, so that it hits nothing later. */
  sent: Promise<boolean> | undefined;
}

/** Cancels what sessions of a pool do, over connections of its own: the pool's may all be busy. */
export interface QueryCanceller {
  request(session: Client): Cancellation;
  /**
   * Its statement has ended.
   *
   * @returns whether the session can be used: false where the server may still cancel what is next on it
   */
  settle(cancellation: Cancellation): Promise<boolean>;
}

/** How many connections there are for it at most. */
const maxAtOnce = 4;

/** What has not been taken by then is not waited for (a frozen server takes nothing). */
const timeoutMs = 2_000;

/** What pg has and does not declare. */
interface Session {
  readonly processID: number;
  readonly secretKey: number;
}
interface ControlClient {
  readonly ssl: unknown;
  readonly sslNegotiation: string;
}
interface ControlConnection extends Omit<Connection, "stream"> {
  readonly stream: { destroy(): void };
  connect(portOrPath: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
}

/** Creates a canceller for the sessions of a pool. */
export function createQueryCanceller(options: Pool["options"]): QueryCanceller {
  const waiting = new Map<Cancellation, Client>();
  let underWay = 0;

  function startNext(): void {
    for (const [cancellation, session] of waiting) {
      if (underWay === maxAtOnce) return;
      waiting.delete(cancellation);
      underWay += 1;
      cancellation.sent = runDetached(() => sendCancelRequest(options, session as unknown as Session));
      void cancellation.sent.then(() => {
        underWay -= 1;
        startNext();
      });
    }
  }

  return {
    request(session) {
      const cancellation: Cancellation = { sent: undefined };
      waiting.set(cancellation, session);
      startNext();
      return cancellation;
    },
    async settle(cancellation) {
      return waiting.delete(cancellation) || (await cancellation.sent) === true;
    },
  };
}

/**
 * Sends a CancelRequest (PostgreSQL's documentation, 54.2.9): a connection of its own that says nothing else. The server
 * closes it once it has told the session's process, which then cancels what it does, or nothing where it is idle.
 */
function sendCancelRequest(options: Pool["options"], session: Session): Promise<boolean> {
  const client = new Client(options);
  const { ssl, sslNegotiation } = client as unknown as ControlClient;
  const connection = client.connection as unknown as ControlConnection;
  return new Promise((resolve) => {
    let isSent = false;
    const end = (isTaken: boolean): void => {
      clearTimeout(timer);
      connection.stream.destroy();
      resolve(isTaken);
    };
    const timer = setTimeout(() => end(false), timeoutMs).unref();
    const send = (): void => {
      connection.cancel(session.processID, session.secretKey);
      isSent = true;
    };
    connection.on("connect", () => {
      if (!ssl) send();
      else if (sslNegotiation !== "direct") connection.requestSsl();
    });
    connection.on("sslconnect", send);
    // A server may reset the connection instead of closing it.
    connection.on("error", ({ code }: { code?: unknown }) => end(isSent && code === "ECONNRESET"));
    connection.on("end", () => end(isSent));
    if (client.host.startsWith("/")) connection.connect(`${client.host}/.s.PGSQL.${client.port}`);
    else connection.connect(client.port, client.host);
  });
}
