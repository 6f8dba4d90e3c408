import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { readPostgresMessages, type WireMessage } from "./fault-wire.ts";

/** A relay between a server and its PostgreSQL that understands what it relays, and breaks it where it is told to. */
export interface FaultProxy {
  /** The same database, by way of the proxy. */
  readonly url: string;
  /**
   * Cuts the connection on which a message comes by for which `when` holds, once.
   *
   * @param moment whether the message still gets through
   * @returns when it has happened
   */
  cutAt(when: (message: WireMessage) => boolean, moment: "before" | "after"): Promise<void>;
  /** Cuts each connection of now or later after it has brought so many more bytes of answers, until `mend`. */
  cutAfterBytes(count: () => number): void;
  /** Cuts all connections. New ones are taken. */
  cutAll(): void;
  /** Takes connections and bytes, and forwards nothing. What was lost so stays lost: its connections never speak again. */
  blackHole(): void;
  /** Each way takes so much longer. */
  slowDown(latencyMs: number): void;
  /** New connections work, and those that are not lost. */
  mend(): void;
  /** Connections that are open to the proxy. */
  connections(): number;
  close(): Promise<void>;
}

interface Planned {
  readonly when: (message: WireMessage) => boolean;
  readonly moment: "before" | "after";
  readonly happened: () => void;
}

interface Relay {
  readonly connection: number;
  readonly sockets: readonly [net.Socket, net.Socket];
  isLost: boolean;
  /** Undefined: as many as come. */
  bytesLeft: number | undefined;
}

/** Opens one in front of a database. */
export async function openFaultProxy(targetUrl: string): Promise<FaultProxy> {
  const target = new URL(targetUrl);
  const relays = new Set<Relay>();
  let planned: Planned[] = [];
  let latencyMs = 0;
  let isBlackHole = false;
  let opened = 0;
  let chooseBytes: (() => number) | undefined;

  const server = net.createServer((client) => {
    const upstream = net.connect(Number(target.port), target.hostname);
    opened += 1;
    const relay: Relay = {
      connection: opened,
      sockets: [client, upstream],
      isLost: isBlackHole,
      bytesLeft: chooseBytes?.(),
    };
    relays.add(relay);
    const cut = () => {
      for (const socket of relay.sockets) socket.destroy();
      relays.delete(relay);
    };
    for (const socket of relay.sockets) socket.setNoDelay(true).on("error", cut).on("close", cut);
    void forward(client, upstream, "client", relay, cut);
    void forward(upstream, client, "server", relay, cut);
  });

  async function forward(
    from: net.Socket,
    to: net.Socket,
    side: WireMessage["from"],
    relay: Relay,
    cut: () => void,
  ): Promise<void> {
    const read = readPostgresMessages(side, relay.connection);
    let free = Promise.resolve();
    from.on("data", (chunk: Buffer) => {
      const arrivedAt = performance.now();
      // One after the other, each as late as the latency says.
      free = free.then(async () => {
        const waitMs = arrivedAt + latencyMs - performance.now();
        if (waitMs > 0) await delay(waitMs);
        for (const message of read(chunk)) {
          if (relay.isLost || to.destroyed) return;
          const plan = planned.find(({ when }) => when(message));
          if (plan?.moment !== "before") send(to, message, relay, cut);
          if (plan !== undefined) {
            planned = planned.filter((other) => other !== plan);
            // What was written before must get out: destroying at once would drop it.
            if (plan.moment === "after") await new Promise<void>((resolve) => to.end(() => resolve()));
            cut();
            plan.happened();
            return;
          }
        }
      });
    });
  }

  function send(to: net.Socket, { from, bytes }: WireMessage, relay: Relay, cut: () => void): void {
    if (from === "client" || relay.bytesLeft === undefined || bytes.length <= relay.bytesLeft) {
      if (from === "server" && relay.bytesLeft !== undefined) relay.bytesLeft -= bytes.length;
      to.write(bytes);
      return;
    }
    to.end(bytes.subarray(0, relay.bytesLeft), cut);
    relay.isLost = true;
  }

  function cutAll(): void {
    for (const { sockets } of relays) {
      for (const socket of sockets) socket.destroy();
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(targetUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    cutAll,
    cutAt: (when, moment) =>
      new Promise((resolve) => planned.push({ when, moment, happened: () => resolve() })),
    cutAfterBytes(count) {
      chooseBytes = count;
      for (const relay of relays) relay.bytesLeft = count();
    },
    blackHole() {
      isBlackHole = true;
      for (const relay of relays) relay.isLost = true;
    },
    slowDown(ms) {
      latencyMs = ms;
    },
    mend() {
      isBlackHole = false;
      latencyMs = 0;
      chooseBytes = undefined;
      for (const relay of relays) relay.bytesLeft = undefined;
    },
    connections: () => relays.size,
    async close() {
      const closed = once(server, "close");
      server.close();
      cutAll();
      await closed;
    },
  };
}
