import { test } from "node:test";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { watchHealth } from "./support/fault-health.ts";
import { patientMs, startFaultLoad } from "./support/fault-load.ts";
import { neverBusy, untilCallSucceeds } from "./support/fault-system.ts";
import { withSeed } from "./support/seeded-random.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";

const rounds = 3;

for (const backend of backends) {
  test(`clients who repeat and resume by themselves lose nothing when the process is killed under them, on the ${backend.name} database`, (t) =>
    withSeed(async (random) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      let server: ServerProcess | undefined;
      cleanUpAfter(t, () => server?.stop("SIGKILL"));
      const start = async (listen: string): Promise<ServerProcess> => {
        server = await startServerProcess({ ...neverBusy, ...database.variables, LISTEN: listen });
        return server;
      };

      const { url } = await start("127.0.0.1:0");
      const health = watchHealth(url);
      cleanUpAfter(t, health.close);
      const load = startFaultLoad(random, url, { callTimeoutMs: patientMs, losesConnections: true });
      cleanUpAfter(t, load.close);
      for (let round = 1; round <= rounds; round++) {
        await load.afterWrites(random.integer(10, 60));
        await server?.stop("SIGKILL");
        await start(new URL(url).host);
        await untilCallSucceeds(url);
      }
      await load.afterWrites(20);
      await load.stopWriting();
      await health.until("SERVING");
      await load.check();
      t.diagnostic(`calls failed: ${JSON.stringify(Object.fromEntries(load.record.failures))}`);
    }));
}
