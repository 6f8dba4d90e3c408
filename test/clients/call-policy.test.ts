import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { ConnectError } from "@connectrpc/connect";
import { Code, UserService } from "../../src/client/exports.ts";
import { createUserBridgeClient, type UserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { expectError } from "../support/expect-error.ts";
import { type Outcome, startScriptedServer } from "./scripted-server.ts";

async function script(t: TestContext, decide: (method: string, earlierCalls: number) => Outcome) {
  const server = await startScriptedServer(decide);
  cleanUpAfter(t, server.close);
  return server;
}

/** A call of each unary method, by its name. */
const unaryCalls = (client: UserBridgeClient): Readonly<Record<string, () => Promise<unknown>>> => ({
  RegisterUser: () => client.registerUser({}),
  GetUser: () => client.getUser({}),
  BatchGetUsers: () => client.batchGetUsers({}),
  ListUsers: () => client.listUsers({}),
  UpdateUser: () => client.updateUser({}),
  ActivateUser: () => client.activateUser({}),
  DeactivateUser: () => client.deactivateUser({}),
  DeleteUser: () => client.deleteUser({}),
});

const reads = ["GetUser", "BatchGetUsers", "ListUsers"];

describe("a client's calls", () => {
  test("are repeated, writes with one key in all attempts and another in each call", async (t) => {
    const server = await script(t, (_, earlierCalls) => (earlierCalls % 3 < 2 ? "unavailable" : "empty"));
    const client = createUserBridgeClient({ baseUrl: server.url, retry: { firstMs: 1, longestMs: 2 } });
    const calls = unaryCalls(client);
    const unary = UserService.methods.filter((method) => method.methodKind === "unary");
    assert.deepEqual(Object.keys(calls).sort(), unary.map((method) => method.name).sort());
    const allKeys = new Set<string>();
    for (const [method, call] of Object.entries(calls)) {
      for (let count = 1; count <= 2; count++) {
        await call();
        const attempts = server.calls.filter((made) => made.method === method);
        assert.equal(attempts.length, 3 * count, method);
        const keys = new Set(attempts.slice(-3).map(({ headers }) => headers["idempotency-key"]));
        assert.equal(keys.size, 1);
        const [key] = keys;
        if (reads.includes(method)) {
          assert.equal(key, undefined);
        } else {
          assert.match(String(key), /^[0-9a-f]{32}$/);
          allKeys.add(String(key));
        }
      }
    }
    assert.equal(allKeys.size, 2 * (unary.length - reads.length));
  });

  test("keep the idempotency key that the caller gives, also without retries, and need none without", async (t) => {
    const server = await script(t, (_, earlierCalls) => (earlierCalls === 0 ? "unavailable" : "empty"));
    const keyOf = (place: number) => server.calls.at(place)?.headers["idempotency-key"];
    const headers = { "idempotency-key": "mine" };
    const client = createUserBridgeClient({ baseUrl: server.url, retry: { firstMs: 1, longestMs: 1 } });
    await client.registerUser({}, { headers });
    assert.deepEqual([server.calls.length, keyOf(0), keyOf(1)], [2, "mine", "mine"]);
    const once = createUserBridgeClient({ baseUrl: server.url, retry: false });
    await expectError(once.deleteUser({}, { headers }), { code: Code.Unavailable });
    assert.deepEqual([server.calls.length, keyOf(2)], [3, "mine"]);
    await expectError(once.updateUser({}), { code: Code.Unavailable });
    assert.deepEqual([server.calls.length, keyOf(3)], [4, undefined]);
  });

  test("may take 5 s unless told otherwise, all attempts together, and a stream has no end", async (t) => {
    const server = await script(t, (_, earlierCalls) => (earlierCalls === 0 ? "unavailable" : "empty"));
    const client = createUserBridgeClient({ baseUrl: server.url, retry: { firstMs: 100, longestMs: 100 } });
    for (const call of Object.values(unaryCalls(client))) await call().catch(() => {});
    for (const { method, headers } of server.calls) {
      const timeoutMs = Number(headers["connect-timeout-ms"]);
      assert.ok(timeoutMs > 3_000 && timeoutMs <= 5_000, `${method}: ${timeoutMs}`);
    }
    const timeouts = server.calls.filter(({ method }) => method === "GetUser");
    assert.ok(Number(timeouts[1]?.headers["connect-timeout-ms"]) < 5_000);
    await client.getUser({}, { timeoutMs: 700 });
    assert.ok(Number(server.calls.at(-1)?.headers["connect-timeout-ms"]) <= 700);
    await client.getUser({}, { timeoutMs: 0 });
    assert.equal(server.calls.at(-1)?.headers["connect-timeout-ms"], undefined);
    await assert.rejects(client.streamUserEvents({})[Symbol.asyncIterator]().next());
    assert.equal(server.calls.at(-1)?.method, "StreamUserEvents");
    assert.equal(server.calls.at(-1)?.headers["connect-timeout-ms"], undefined);
  });

  test("end at their deadline, also where nobody answers or all attempts fail", async (t) => {
    const silent = await script(t, () => "silence");
    const hanging = createUserBridgeClient({ baseUrl: silent.url, timeoutMs: 100 });
    for (const call of Object.values(unaryCalls(hanging))) {
      await expectError(call(), { code: Code.DeadlineExceeded });
    }
    const down = await script(t, () => "unavailable");
    const retrying = createUserBridgeClient({
      baseUrl: down.url,
      timeoutMs: 1_500,
      retry: { firstMs: 5, longestMs: 50 },
    });
    const ending = await retrying.getUser({}).catch((error: unknown) => error);
    // The deadline falls into a wait, where what the server said is told, or into an attempt.
    assert.ok(ending instanceof ConnectError, String(ending));
    assert.ok([Code.Unavailable, Code.DeadlineExceeded].includes(ending.code), ending.message);
    assert.ok(down.calls.length > 1);
  });

  test("tell what the server said, at once, where no time is left to wait for another attempt", async (t) => {
    const down = await script(t, () => "unavailable");
    const endless = { firstMs: Number.MAX_SAFE_INTEGER, longestMs: Number.MAX_SAFE_INTEGER };
    for (const retry of [false, endless] as const) {
      const client = createUserBridgeClient({ baseUrl: down.url, timeoutMs: 60_000, retry });
      const before = down.calls.length;
      await expectError(client.getUser({}), { code: Code.Unavailable });
      assert.equal(down.calls.length, before + 1);
    }
  });

  test("can be left while they wait to be repeated, as CANCELED", async (t) => {
    const leaving = new AbortController();
    const down = await script(t, () => {
      // The answer is read before the next tick of the timers.
      setTimeout(() => leaving.abort(), 0);
      return "unavailable";
    });
    const client = createUserBridgeClient({
      baseUrl: down.url,
      timeoutMs: 0,
      retry: { firstMs: 3_600_000, longestMs: 3_600_000 },
    });
    await expectError(client.getUser({}, { signal: leaving.signal }), { code: Code.Canceled });
  });
});
