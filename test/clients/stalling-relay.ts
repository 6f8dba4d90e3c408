import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { cleanUpAfter } from "../support/clean-up.ts";

/** A TCP relay whose connections can go silent without an end, as a network does that loses all packets. */
export interface StallingRelay {
  readonly port: number;
  /** Lets all present connections go silent for good. Later ones are relayed. */
  stall(): void;
}

/** Relays to a port of this machine until the test ends. */
export async function openStallingRelay(t: TestContext, targetPort: number): Promise<StallingRelay> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(targetPort, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUpAfter(t, async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    if (server.listening) await once(server, "close");
  });
  return {
    port: (server.address() as AddressInfo).port,
    stall() {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}
