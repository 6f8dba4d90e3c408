import type { Logger } from "../../platform/logger.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionRegister } from "./connection-register.ts";

/** Long enough for a client that has just connected, or has just been answered, to send its next request. */
const graceMs = 1_000;

/** Connections on their way out that are waited for; a peer that takes its time does not keep them open. */
const maxLeaving = 128;

const warningIntervalMs = 60_000;

/** Keeps the number of connections within a bound. */
export interface ConnectionCap {
  /** Whether one more may come; makes room for it where that is possible. */
  makeRoom(): boolean;
  /** The connection is being told to go: it is waited for, but not for long and not together with too many. */
  leave(connection: Connection): void;
}

/** Creates it. @param max open at once */
export function createConnectionCap(
  register: ConnectionRegister,
  max: number,
  logger: Pick<Logger, "warn"> | undefined,
): ConnectionCap {
  let warnedAt = Number.NEGATIVE_INFINITY;

  function warn(): void {
    const now = performance.now();
    if (now - warnedAt < warningIntervalMs) return;
    warnedAt = now;
    const { refused, evicted } = register;
    logger?.warn(
      { max, refused, evicted },
      "MAX_CONNECTIONS are open: idle ones make room, new ones may be refused",
    );
  }

  function leave(connection: Connection): void {
    register.leave(connection);
    if (register.leaving.size <= maxLeaving) return;
    const [oldest] = register.leaving;
    oldest?.socket.destroy();
  }

  function evict(connection: Connection): void {
    register.evicted++;
    if (connection.session === undefined) {
      register.leave(connection);
      connection.socket.destroy();
    } else {
      leave(connection);
      // GOAWAY with NO_ERROR: what the client has sent meanwhile, it may send again elsewhere.
      connection.session.close();
    }
  }

  return {
    makeRoom() {
      if (register.size < max) return true;
      const victim = chooseVictim(register);
      if (victim === undefined) register.refused++;
      else evict(victim);
      warn();
      return victim !== undefined;
    },
    leave,
  };
}

/**
 * Who goes: a connection that has carried no request yet, the oldest first; after it, the one that has been idle for
 * longest. Neither goes within its first second if there is another: whoever opens connections by the thousand would
 * otherwise drive out each client that has just connected, or each that has just been answered.
 */
function chooseVictim({ unused, idle }: ConnectionRegister): Connection | undefined {
  const [oldestUnused] = unused;
  const [oldestIdle] = idle;
  const graceEnd = performance.now() - graceMs;
  for (const candidate of [oldestUnused, oldestIdle]) {
    if (candidate !== undefined && candidate.idleSince <= graceEnd) return candidate;
  }
  return oldestUnused ?? oldestIdle;
}
