import type net from "node:net";
import type { Connection } from "./connection.ts";

/** Connections that shake hands. Node does not say which TCP connection a TLS socket is made of; its addresses do. */
export class Handshakes {
  readonly #underWay = new Map<string, Connection>();

  begun(connection: Connection): void {
    const { socket } = connection;
    const key = keyOf(socket);
    this.#underWay.set(key, connection);
    socket.once("close", () => {
      if (this.#underWay.get(key) === connection) this.#underWay.delete(key);
    });
  }

  /** Whose handshake this is; undefined where it has closed meanwhile. From now on it is what is inside TLS. */
  done(socket: net.Socket): Connection | undefined {
    const key = keyOf(socket);
    const connection = this.#underWay.get(key);
    this.#underWay.delete(key);
    if (connection !== undefined) connection.socket = socket;
    return connection;
  }
}

function keyOf({ remoteAddress, remotePort, localAddress }: net.Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}
