import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { testKeyEncryptionKey } from "./databases.ts";
import { type HealthWatch, watchHealth } from "./fault-health.ts";
import { type FaultLoad, type FaultLoadOptions, startFaultLoad } from "./fault-load.ts";
import { checkWholePool, untilPoolIsIdle } from "./fault-pool.ts";
import { type FaultProxy, openFaultProxy } from "./fault-proxy.ts";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";

/** A busy test machine is not the fault that is looked for. */
export const neverBusy = { MAX_EVENT_LOOP_DELAY: "off" };

/** A real server process, on a PostgreSQL of its own behind a proxy that can break what goes by. */
export interface FaultServer {
  readonly postgres: OwnPostgres;
  readonly proxy: FaultProxy;
  readonly server: ServerProcess;
}

/** The same under load. */
export interface FaultSystem extends FaultServer {
  readonly load: FaultLoad;
  readonly health: HealthWatch;
  /**
   * Waits until the server has recovered by itself, and checks that nothing was lost: calls succeed again within so
   * many tries, health is SERVING, the pool is whole, and what the clients were told is what there is.
   */
  checkRecovery(): Promise<void>;
}

const poolSize = 4;

/** About 10 s of tries, at the pace of a client that backs off. */
const recoveryTries = 100;
const tryPauseMs = 50;

/** Starts all of it but the load, and ends it after the test. */
export async function startFaultServer(t: TestContext): Promise<FaultServer> {
  const postgres = await startOwnPostgres();
  cleanUpAfter(t, postgres.close);
  const proxy = await openFaultProxy(postgres.url);
  cleanUpAfter(t, proxy.close);
  const server = await startServerProcess({
    ...neverBusy,
    AUTH: "off",
    DATABASE_URL: proxy.url,
    DATABASE_POOL_SIZE: String(poolSize),
    KEY_ENCRYPTION_KEY: testKeyEncryptionKey,
  });
  cleanUpAfter(t, () => server.stop("SIGKILL"));
  return { postgres, proxy, server };
}

/** Starts all of it, and ends it after the test. */
export async function startFaultSystem(
  t: TestContext,
  random: SeededRandom,
  options: FaultLoadOptions = {},
): Promise<FaultSystem> {
  const started = await startFaultServer(t);
  const { postgres, server } = started;
  const health = watchHealth(server.url);
  cleanUpAfter(t, health.close);
  const load = startFaultLoad(random, server.url, options);
  cleanUpAfter(t, load.close);
  await health.until("SERVING");

  return {
    ...started,
    load,
    health,
    async checkRecovery() {
      await untilCallSucceeds(server.url);
      await health.until("SERVING");
      await load.afterWrites(20);
      await load.stopWriting();
      await untilPoolIsIdle(postgres, poolSize);
      await checkWholePool(server.url, postgres, poolSize);
      await load.check();
      t.diagnostic(`calls failed: ${JSON.stringify(Object.fromEntries(load.record.failures))}`);
    },
  };
}

/** @throws the last failure, where none of the tries succeeds */
export async function untilCallSucceeds(url: string): Promise<void> {
  const users = createClient(UserService, createGrpcTransport({ baseUrl: url }));
  for (let tries = 1; ; tries++) {
    try {
      await users.listUsers({ pageSize: 1 }, { timeoutMs: 1_000 });
      return;
    } catch (error) {
      if (tries === recoveryTries) throw error;
      await delay(tryPauseMs);
    }
  }
}
