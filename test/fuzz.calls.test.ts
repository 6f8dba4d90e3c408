import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { startApp } from "../src/app.ts";
import { createLogger } from "../src/platform/logger.ts";
import { policy } from "../src/policy.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createSuperuser, createUser, logIn, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { callsTo, type FuzzCall } from "./support/fuzz-call.ts";
import { openFuzzClient } from "./support/fuzz-client.ts";
import {
  createTlsFiles,
  gatherKnowledge,
  type HealthyClient,
  openHealthyClient,
} from "./support/fuzz-program.ts";
import { fuzzedServices } from "./support/fuzz-services.ts";
import { fuzzSettings } from "./support/fuzz-settings.ts";
import { type FuzzedListener, judge } from "./support/fuzz-verdict.ts";
import { collectGarbage } from "./support/garbage.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

/**
 * What the heap may grow by for each call that is made a second time: far less than a call's request, whose texts are
 * thousands of characters, and far more than what compiled code, caches and the audit log's batches vary by.
 */
const maxGrowthPerCall = 8_192;

/** A program of the whole product that asks who calls, and what is known of it. */
interface Target {
  readonly listeners: readonly FuzzedListener[];
  readonly calls: fc.Arbitrary<FuzzCall[]>;
  readonly healthy: HealthyClient;
}

describe("whatever callers send", () => {
  for (const lane of ["on", "off"] as const) {
    for (const isTls of [false, true]) {
      const settings = fuzzSettings(20);

      test(`is answered well, with the lane ${lane}, ${isTls ? "over TLS" : "in cleartext"}`, async (t) => {
        const { listeners, calls, healthy } = await startTarget(t, lane, isTls);
        for (const listener of listeners) {
          const property = fc.asyncProperty(calls, async (batch) => {
            const faults = await sendAll(listener, batch);
            await healthy.check();
            assert.deepEqual(faults, []);
          });
          await fc.assert(property, settings);
        }
      });
    }
  }

  test("leaves no connection open and nothing in memory", async (t) => {
    const { listeners, calls, healthy } = await startTarget(t, "on", false);
    const batches = fc.sample(calls, { numRuns: 10, seed: fuzzSettings(0).seed });
    await healthy.check();
    const sockets = countSockets();
    async function sendEach(): Promise<number> {
      for (const listener of listeners) for (const batch of batches) await sendAll(listener, batch);
      await withDeadline("sockets to close", untilAtMost(sockets, countSockets), 10_000);
      await collectGarbage();
      return process.memoryUsage().heapUsed;
    }
    // The first time fills what is filled once.
    await sendEach();
    const before = await sendEach();
    const growth = (await sendEach()) - before;
    await healthy.check();
    const count = batches.flat().length * listeners.length;
    assert.ok(growth < count * maxGrowthPerCall, `${growth} bytes more after ${count} calls`);
  });
});

async function startTarget(t: TestContext, lane: "on" | "off", isTls: boolean): Promise<Target> {
  const [embedded] = backends;
  assert.ok(embedded);
  const onEnd = (cleanUp: () => Promise<unknown>) => cleanUpAfter(t, cleanUp);
  const tls = isTls ? await createTlsFiles(onEnd) : undefined;
  const database = await embedded.create();
  onEnd(database.drop);
  const accounts = await onDatabase(database.config, async (queries) => ({
    superuser: await createSuperuser(queries),
    powerless: await createUser(queries),
  }));
  const config = testConfig({
    database: database.config,
    auth: "on",
    reflection: true,
    lane,
    ...(tls !== undefined && { tls, internal: { listen: { host: "127.0.0.1", port: 0 }, tls } }),
  });
  const app = await startApp(config, createLogger(config));
  onEnd(app.close);
  const nodeOptions = { rejectUnauthorized: false };
  const token = await logIn(app.url, accounts.superuser, nodeOptions);
  const powerless = await logIn(app.url, accounts.powerless, nodeOptions);
  const headers = { authorization: `Bearer ${token}` };
  const knowledge = await gatherKnowledge(app.url, headers, powerless);
  const healthy = openHealthyClient(app.url, headers);
  onEnd(async () => healthy.close());
  const methods = fuzzedServices.flatMap((service) => service.methods);
  assert.ok(app.internalUrl);
  return {
    healthy,
    calls: fc.array(callsTo(methods, knowledge), { minLength: 1, maxLength: 12, size: "max" }),
    listeners: [
      { url: app.url, policy, serves: (procedure) => !procedure.startsWith("ingestion.") },
      { url: app.internalUrl, policy, serves: (procedure) => /^(?:ingestion|grpc)\./.test(procedure) },
    ],
  };
}

/** @returns what was wrong with the answers */
async function sendAll(listener: FuzzedListener, calls: readonly FuzzCall[]): Promise<string[]> {
  const client = openFuzzClient(listener.url);
  const faults = await Promise.all(calls.map(async (call) => judge(call, await client.send(call), listener)));
  await client.close();
  return faults.flat();
}

function countSockets(): number {
  return process.getActiveResourcesInfo().filter((type) => /^(?:TCPSocket|TLS)Wrap$/.test(type)).length;
}

/** Those that were there before may have closed, too. */
async function untilAtMost(limit: number, read: () => number): Promise<void> {
  while (read() > limit) await setImmediate();
}
