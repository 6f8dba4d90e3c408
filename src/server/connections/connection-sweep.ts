import type { Connection } from "./connection.ts";
import type { ConnectionCap } from "./connection-cap.ts";
import type { ConnectionRegister } from "./connection-register.ts";
import type { Looks } from "./looks.ts";
import type { Verdict } from "./session-health.ts";

/** For a peer that has been told to go: the time for what it was told to arrive. */
const maxLeavingLooks = 2;

/**
 * Begins to look at a port's connections and ends those that are late, or dead: one clock for all. HTTP/1.1 has
 * Node's own timers, once it is known to be spoken.
 *
 * @returns ends it
 */
export function startConnectionSweep(
  register: ConnectionRegister,
  cap: Pick<ConnectionCap, "leave">,
  looks: Looks,
  headerTimeoutMs: number,
): () => void {
  const firstBytesLooks = looks.within(headerTimeoutMs);
  const clock = setInterval(() => {
    for (const connection of register.all) look(connection);
  }, looks.intervalMs);
  clock.unref();

  function look(connection: Connection): void {
    connection.looks++;
    if (connection.isLeaving) {
      if (++connection.leavingLooks >= maxLeavingLooks) connection.socket.destroy();
    } else if (connection.protocol === "unknown") {
      if (connection.looks >= firstBytesLooks) end(connection, firstBytes);
    } else {
      const verdict = connection.health?.look();
      if (verdict !== undefined) end(connection, verdict);
    }
  }

  function end(connection: Connection, { timer, goAway }: Verdict): void {
    register.endedBy[timer]++;
    const { session } = connection;
    if (goAway === undefined || session === undefined) {
      register.leave(connection);
      connection.socket.destroy();
      return;
    }
    cap.leave(connection);
    session.goaway(goAway.code, 0, Buffer.from(goAway.text));
    session.close();
  }

  return () => clearInterval(clock);
}

/** Nobody is told: what its peer speaks is not known. */
const firstBytes: Verdict = { timer: "first_bytes", goAway: undefined };
