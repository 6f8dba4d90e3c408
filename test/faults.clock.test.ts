import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { Client as PostgresClient } from "pg";
import { bearer, type Caller, callAs } from "./support/callers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createSuperuser, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { patientMs, startFaultLoad } from "./support/fault-load.ts";
import { neverBusy } from "./support/fault-system.ts";
import { withKey } from "./support/keyed-calls.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

const hourMs = 3_600_000;
const scopes = ["users:read", "users:write", "users:delete", "events:read"];

for (const backend of backends) {
  describe(`a clock that jumps, on the ${backend.name} database`, () => {
    test("fails no call and breaks no stream; tokens and idempotency keys last as long as it says", (t) =>
      withSeed(async (random) => {
        const { load, anonymous, account, server, shiftClock } = await startSystem(t, random, backend);
        await load.afterWrites(random.integer(10, 40));
        const { email, password } = account;
        const first = await anonymous.accounts.authenticate({ email, password });
        const person = { email: "ada@example.com", username: "ada" };
        const firstKey = withKey(randomUUID());
        const { id } = await as(server, first.accessToken).users.registerUser(person, firstKey);

        await shiftClock(25 * hourMs);
        await load.afterWrites(20);
        await expectError(as(server, first.accessToken).users.getUser({ id }), {
          code: Code.Unauthenticated,
        });
        const second = await anonymous.accounts.refreshToken({ refreshToken: first.refreshToken });
        const later = as(server, second.accessToken);
        await expectError(later.users.registerUser(person, firstKey), { code: Code.AlreadyExists });
        const other = { email: "bob@example.com", username: "bob" };
        const secondKey = withKey(randomUUID());
        const answer = await later.users.registerUser(other, secondKey);

        await shiftClock(24 * hourMs);
        await load.afterWrites(20);
        assert.equal((await later.users.getUser({ id })).user?.username, "ada");
        assert.deepEqual(await later.users.registerUser(other, secondKey), answer);
        await expectError(as(server, first.accessToken).users.getUser({ id }), {
          code: Code.Unauthenticated,
        });
        for (const gone of [id, answer.id]) await later.users.deleteUser({ id: gone });

        await load.stopWriting();
        assert.deepEqual([...load.record.failures], []);
        await load.check([account.email, person.email, other.email]);
      }));

    const skip = backend.name === "embedded" && "nothing can hold a call up in the embedded database";
    test("makes no call late that is under way", { skip }, (t) =>
      withSeed(async (random) => {
        const { config, server, load, token, shiftClock } = await startSystem(t, random, backend);
        await load.stopWriting();
        assert.ok(config.kind === "postgres");
        const locker = new PostgresClient({ connectionString: config.url });
        await locker.connect();
        cleanUpAfter(t, () => locker.end());
        await locker.query("begin; lock table users in access exclusive mode");
        const call = as(server, token).users.listUsers({ pageSize: 1 }, { timeoutMs: patientMs });
        await untilSomebodyWaits(locker);
        await shiftClock(25 * hourMs);
        await locker.query("commit");
        assert.equal((await call).users.length, 1);
      }),
    );
  });
}

async function untilSomebodyWaits(client: PostgresClient): Promise<void> {
  const waiting = async () => {
    const { rows } = await client.query(
      "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    return rows.length > 0;
  };
  const somebody = async () => {
    while (!(await waiting())) await setImmediate();
  };
  await withDeadline("a call that waits for the database", somebody());
}

function as(server: ServerProcess, accessToken: string): Caller {
  return callAs(server.url, bearer(accessToken));
}

/** A server process that asks who calls, whose clock can be shifted, under the load of an API key. */
async function startSystem(t: TestContext, random: SeededRandom, backend: (typeof backends)[number]) {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const { account, key } = await onDatabase(database.config, async (queries) => ({
    account: await createSuperuser(queries),
    key: await createApiKey(queries, scopes),
  }));
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-clock-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true }));
  const file = join(folder, "shift");
  const server = await startServerProcess({
    ...neverBusy,
    ...database.variables,
    AUTH: "on",
    PASSWORD_MEMORY: "1MiB",
    PASSWORD_ITERATIONS: "1",
    NODE_OPTIONS: `--import=${new URL("./support/fault-clock.ts", import.meta.url).href}`,
    TEST_CLOCK_FILE: file,
  });
  cleanUpAfter(t, () => server.stop("SIGKILL"));
  const load = startFaultLoad(random, server.url, {
    headers: bearer(key.secret),
    callTimeoutMs: patientMs,
  });
  cleanUpAfter(t, load.close);

  /** Sets the process's clock to so much later than the machine's. */
  async function shiftClock(ms: number): Promise<void> {
    await writeFile(`${file}.new`, String(ms));
    await rename(`${file}.new`, file);
    server.child.kill("SIGUSR2");
    const taken = async () => {
      while (existsSync(file)) await setImmediate();
    };
    await withDeadline("the clock's jump", taken());
  }
  return {
    config: database.config,
    server,
    load,
    token: key.secret,
    account,
    anonymous: callAs(server.url, {}),
    shiftClock,
  };
}
