import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient, type HandlerContext, type Transport } from "@connectrpc/connect";
import { type Kysely, sql } from "kysely";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { openDatabase } from "../src/platform/database.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { untilIdle } from "./support/pool-state.ts";
import { toStruct } from "./support/probe-script.ts";
import { type Probe, probeCall, probeRoutes, probeStream } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { openTestHost } from "./support/server-pair.ts";
import { openSideDoor } from "./support/side-door.ts";
import { startTestApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** Of the server alone: the client itself would wait for ever. */
const soon = { "grpc-timeout": "200m", "connect-timeout-ms": "200" };
const late = { code: Code.DeadlineExceeded };

/** Both RPCs wait in the database, for whatever `statement` waits for. */
function waitingProbe(queries: Kysely<never>): Probe {
  const statement = sql`select pg_sleep(600)`;
  return {
    async call() {
      await statement.execute(queries);
      return {};
    },
    async *stream(_request: unknown, _context: HandlerContext) {
      yield toStruct({});
      await statement.execute(queries);
    },
  };
}

/** A host whose RPCs wait in a database of two connections. */
async function openWaitingHost(t: TestContext, backend: Backend, lane: "on" | "off") {
  const { config, drop } = await backend.create();
  cleanUpAfter(t, drop);
  assert.ok(config.kind === "postgres");
  const { queries, pool, close } = await openDatabase<never>({ ...config, poolSize: 2 }, testLogger);
  cleanUpAfter(t, close);
  const url = await openTestHost(t, probeRoutes(waitingProbe(queries)), { lane });
  return { url, queries, pool, side: await openSideDoor(t, config.url) };
}

const call = (transport: Transport, headers?: Record<string, string>, signal?: AbortSignal) =>
  transport.unary(probeCall, signal, undefined, headers, toStruct({}));

/** Reads a stream to its end. */
async function follow(
  transport: Transport,
  headers?: Record<string, string>,
  signal?: AbortSignal,
): Promise<void> {
  const answer = await transport.stream(
    probeStream,
    signal,
    undefined,
    headers,
    Readable.from([toStruct({})]),
  );
  for await (const _message of answer.message);
}

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  for (const lane of ["on", "off"] as const) {
    describe(`a call that waits in PostgreSQL, with LANE=${lane}`, () => {
      test("ends at its deadline, and its query with it, by every protocol", async (t) => {
        const { url, queries, pool, side } = await openWaitingHost(t, backend, lane);
        // More of them than there are connections: none is lost.
        for (const { createTransport } of protocols) {
          for (const ask of [call, follow]) {
            const ended = expectError(ask(createTransport(url), soon), late);
            await side.untilRunning("pg_sleep", 1);
            await withDeadline("the deadline", ended);
            await side.untilRunning("pg_sleep", 0);
          }
        }
        await sql`select 1`.execute(queries);
        await untilIdle(pool);
      });

      test("ends in the database when its caller leaves, by every protocol", async (t) => {
        const { url, pool, side } = await openWaitingHost(t, backend, lane);
        for (const { createTransport } of protocols) {
          for (const ask of [call, follow]) {
            const leaving = new AbortController();
            const ended = expectError(ask(createTransport(url), {}, leaving.signal), { code: Code.Canceled });
            await side.untilRunning("pg_sleep", 1);
            leaving.abort();
            await ended;
            await side.untilRunning("pg_sleep", 0);
          }
        }
        await untilIdle(pool);
      });

      test("ends so whatever it reads: lists, pages, searches, look-ups, writes", async (t) => {
        const database = await backend.create();
        t.after(() => database.drop());
        assert.ok(database.config.kind === "postgres");
        const app = await startTestApp((cleanUp) => t.after(cleanUp), backend, {
          lane,
          database: { ...database.config, poolSize: 6 },
        });
        const transport = (protocols.at(-1) ?? assert.fail()).createTransport(app.url);
        const users = createClient(UserService, transport);
        const auth = createClient(AuthService, transport);
        const profiles = createClient(ProfileService, transport);
        const { id } = await users.registerUser({ email: "ada@example.com", username: "ada" });
        const side = await openSideDoor(t, database.config.url);
        await side.lock("users");
        const options = { headers: soon };
        for (const ask of [
          () => users.getUser({ id }, options),
          () => users.listUsers({}, options),
          () => users.batchGetUsers({ ids: [id] }, options),
          () => users.registerUser({ email: "eve@example.com", username: "eve" }, options),
          () => users.deactivateUser({ id }, options),
          () => auth.getUserRoles({ userId: id }, options),
          () => auth.checkEmailExists({ email: "ada@example.com" }, options),
          () => profiles.getUserProfile({ userId: id }, options),
          () => profiles.getUserPreferences({ userId: id }, options),
          () => profiles.getUserActivity({ userId: id }, options),
          () => profiles.searchUsers({}, options),
        ]) {
          const ended = expectError(ask(), late);
          await side.untilWaiting(1);
          await withDeadline("the deadline", ended);
          await side.untilWaiting(0);
        }
        await side.unlock();
        // Nothing was kept of what has ended.
        const { users: all } = await users.listUsers({});
        assert.deepEqual(
          all.map(({ username, isActive }) => [username, isActive]),
          [["ada", true]],
        );
      });
    });
  }
}

for (const backend of backends) {
  for (const lane of ["on", "off"] as const) {
    describe(`a database for which too many wait, the ${backend.name} one, with LANE=${lane}`, () => {
      test("refuses a call with when to come again, by every protocol", async (t) => {
        const { config, drop } = await backend.create();
        cleanUpAfter(t, drop);
        const narrow = config.kind === "postgres" ? { ...config, poolSize: 1 } : config;
        const { queries, close } = await openDatabase<never>({ ...narrow, maxWaiting: 0 }, testLogger);
        cleanUpAfter(t, close);
        const ask = async () => {
          await sql`select 1`.execute(queries);
          return toStruct({});
        };
        const probe: Probe = {
          call: ask,
          async *stream() {
            yield await ask();
          },
        };
        const url = await openTestHost(t, probeRoutes(probe), { lane });
        await queries.connection().execute(async () => {
          for (const { createTransport } of protocols) {
            for (const ask of [call, follow]) {
              const refused = ask(createTransport(url));
              const error = await expectError(refused, {
                code: Code.ResourceExhausted,
                reason: "DATABASE_BUSY",
              });
              const [retry] = error.findDetails(RetryInfoSchema);
              assert.equal(retry?.retryDelay?.seconds, 1n);
              assert.equal(error.findDetails(ErrorInfoSchema).length, 1);
            }
          }
        });
        for (const { createTransport } of protocols) await call(createTransport(url));
      });
    });
  }
}
