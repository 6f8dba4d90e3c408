import { once } from "node:events";
import { createServer } from "node:net";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";

/** A server process that comes back on the same address with the same database. */
export interface RestartableServer {
  readonly url: string;
  start(): Promise<void>;
  /** Sends the signal that ends it, and waits until it has. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Stops it in its tracks: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
}

/** Starts a server with the variables of a database, and ends it when the test does. */
export async function startRestartableServer(
  cleanUp: (end: () => Promise<unknown>) => void,
  variables: Readonly<Record<string, string>>,
): Promise<RestartableServer> {
  const address = `127.0.0.1:${await findStablePort()}`;
  let server: ServerProcess | undefined;
  async function start(): Promise<void> {
    server = await startServerProcess({ DRAIN_TIMEOUT: "2s", ...variables, LISTEN: address });
  }
  cleanUp(async () => server?.stop("SIGKILL"));
  await start();
  return {
    url: `http://${address}`,
    start,
    stop: async (signal) => void (await server?.stop(signal)),
    freeze: () => void server?.child.kill("SIGSTOP"),
    thaw: () => void server?.child.kill("SIGCONT"),
  };
}

/** A port below those that Linux gives out by itself, so that nobody takes it while the server is away. */
async function findStablePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (isFree) {
      server.close();
      await once(server, "close");
      return port;
    }
  }
}
