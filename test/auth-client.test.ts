import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import fc from "fast-check";
import selfsigned from "selfsigned";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { createRoundRobinTransport } from "../src/client/round-robin.ts";
import { DomainError } from "../src/platform/errors.ts";
import { AuthUnavailableError } from "../src/profiles/profile.errors.ts";
import { createRemoteAccounts, type RemoteAccountsOptions } from "../src/profiles/remote-accounts.ts";
import { UserNotFoundError } from "../src/users/user.errors.ts";
import { type AuthServer, startAuthServers } from "./support/auth-servers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { expectError } from "./support/expect-error.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** How much of the random work to do; raise it to search longer. */
const scale = Number(process.env["TEST_SCALE"] ?? "1");

const addressesOf = (servers: readonly AuthServer[]) => servers.map(({ address }) => address);

function open(t: TestContext, options: RemoteAccountsOptions) {
  const accounts = createRemoteAccounts({
    timeoutMs: 20_000,
    retry: { firstMs: 1, longestMs: 20 },
    skip: { firstMs: 1, longestMs: 20 },
    ...options,
  });
  cleanUpAfter(t, accounts.close);
  return accounts;
}

type Accounts = ReturnType<typeof open>;

/** Calls until each of the servers has been called once more. */
async function callUntilAllAreUsed(accounts: Accounts, servers: readonly AuthServer[]): Promise<void> {
  const before = servers.map(({ calls }) => calls.length);
  const calling = async () => {
    while (servers.some(({ calls }, index) => calls.length === before[index])) await accounts.get("somebody");
  };
  await withDeadline("all addresses to be used", calling());
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const waiting = async () => {
    while (!condition()) await setImmediate();
  };
  await withDeadline(what, waiting());
}

/** Some callers that call one after the other until they are told to end. @returns how many calls they made */
function startCallers(accounts: Accounts, callers: number): () => Promise<number> {
  let isOver = false;
  const calling = Array.from({ length: callers }, async (_, caller) => {
    let calls = 0;
    for (; !isOver; calls++) {
      const { id } = await accounts.get(`caller${caller}`);
      assert.equal(id, `caller${caller}`);
    }
    return calls;
  });
  const ended = Promise.all(calling);
  // Reported when it is asked for.
  ended.catch(() => {});
  return async () => {
    isOver = true;
    return (await withDeadline("the callers", ended)).reduce((sum, calls) => sum + calls, 0);
  };
}

describe("the client of auth, over several addresses", () => {
  test("uses all of them evenly", async (t) => {
    const { url, servers } = await startAuthServers(t, 3);
    const accounts = open(t, { url, resolve: async () => addressesOf(servers) });
    await callUntilAllAreUsed(accounts, servers);
    const before = servers.map(({ calls }) => calls.length);
    for (let call = 0; call < 30; call++) await accounts.get("somebody");
    await Promise.all(Array.from({ length: 30 }, () => accounts.get("somebody")));
    assert.deepEqual(
      servers.map(({ calls }, index) => calls.length - (before[index] ?? 0)),
      [20, 20, 20],
    );
    assert.deepEqual(
      servers.map(({ connectionCount }) => connectionCount),
      [1, 1, 1],
    );
  });

  for (const how of ["at once", "well"] as const) {
    test(`fails no call when one ends ${how}, and uses it again when it is back`, async (t) => {
      const { url, servers } = await startAuthServers(t, 3, () => setImmediate());
      const accounts = open(t, { url, resolve: async () => addressesOf(servers) });
      await callUntilAllAreUsed(accounts, servers);
      const end = startCallers(accounts, 8);
      const [first, second, third] = servers as [AuthServer, AuthServer, AuthServer];
      await second.stop(how);
      await callUntilAllAreUsed(accounts, [first, third]);
      await second.start();
      await callUntilAllAreUsed(accounts, servers);
      assert.ok((await end()) > 0);
    });
  }

  test("fails no call while any but one come and go", async (t) => {
    const { url, servers } = await startAuthServers(t, 3, () => setImmediate());
    const accounts = open(t, { url, resolve: async () => addressesOf(servers) });
    const step = fc.record({
      server: fc.nat({ max: 1 }),
      act: fc.constantFrom("at once" as const, "well" as const, "start" as const),
      pauses: fc.nat({ max: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const end = startCallers(accounts, 4);
        try {
          for (const { server: index, act, pauses } of steps) {
            const server = servers[index] as AuthServer;
            if (act === "start") await server.start();
            else await server.stop(act);
            for (let turn = 0; turn < pauses; turn++) await setImmediate();
          }
        } finally {
          await end();
          for (const server of servers) await server.start();
        }
        await callUntilAllAreUsed(accounts, servers);
      }),
      { numRuns: 15 * scale },
    );
  });

  test("uses addresses that appear, and leaves those that vanish once their calls have ended", async (t) => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { url, servers } = await startAuthServers(t, 3, ({ userId }) =>
      userId === "held" ? held : undefined,
    );
    const [first, second, third] = servers as [AuthServer, AuthServer, AuthServer];
    let present = [first];
    const accounts = open(t, { url, resolve: async () => addressesOf(present), refreshIntervalMs: 5 });
    const heldCall = accounts.get("held");
    await until("the held call", () => first.calls.length === 1);

    present = [second, third];
    await callUntilAllAreUsed(accounts, [second, third]);
    const before = first.calls.length;
    for (let call = 0; call < 6; call++) await accounts.get("somebody");
    assert.equal(first.calls.length, before);
    assert.equal(first.connectionCount, 1);
    release();
    assert.equal((await heldCall).id, "held");
    await until("the vanished address to be left", () => first.connectionCount === 0);

    present = [];
    await accounts.get("somebody");
    present = [first, second, third];
    await callUntilAllAreUsed(accounts, servers);
  });

  test("asks for the addresses anew when one fails, without waiting for the next time", async (t) => {
    const { url, servers } = await startAuthServers(t, 2);
    const [first, second] = servers as [AuthServer, AuthServer];
    let present = [first];
    let resolutions = 0;
    const accounts = open(t, {
      url,
      resolve: async () => {
        resolutions += 1;
        return addressesOf(present);
      },
      refreshIntervalMs: 3_600_000,
    });
    await accounts.get("somebody");
    assert.equal(resolutions, 1);
    present = [second];
    await first.stop("at once");
    await accounts.get("somebody");
    assert.equal(second.calls.length, 1);
  });

  test("keeps the URL's host as authority and TLS server name", async (t) => {
    const pem = await selfsigned.generate([{ name: "commonName", value: "auth.test" }], {
      extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "auth.test" }] }],
    });
    const { url, servers } = await startAuthServers(t, 2, undefined, { key: pem.private, cert: pem.cert });
    const resolve = async () => addressesOf(servers);
    const accounts = open(t, { url, resolve, tls: { ca: pem.cert } });
    await callUntilAllAreUsed(accounts, servers);
    for (const { authorities } of servers) assert.deepEqual([...authorities], [new URL(url).host]);
    const stranger = open(t, { url, resolve, timeoutMs: 300 });
    await assert.rejects(stranger.get("somebody"), AuthUnavailableError);
    const misnamed = open(t, {
      url: url.replace("auth.test", "other.test"),
      resolve,
      tls: { ca: pem.cert },
      timeoutMs: 300,
    });
    await assert.rejects(misnamed.get("somebody"), AuthUnavailableError);
  });
});

describe("a call of auth", () => {
  test("answers what the account says, and a missing one is not found", async (t) => {
    const { url } = await startAuthServers(t, 1, ({ userId }) => {
      if (userId === "nobody") throw new ConnectError("no such user", Code.NotFound);
    });
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"] });
    assert.deepEqual(await accounts.get("ada"), {
      id: "ada",
      email: "ada@example.com",
      fullName: "Name of ada",
      createdAt: new Date(1_700_000_000_000),
      updatedAt: new Date(1_700_000_001_000),
    });
    await assert.rejects(accounts.get("nobody"), UserNotFoundError);
  });

  test("for many accounts asks for sixteen at once and leaves out those that are missing", async (t) => {
    let [running, most] = [0, 0];
    const { url } = await startAuthServers(t, 1, async ({ userId }) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      running -= 1;
      if (userId.endsWith("7")) throw new ConnectError("no such user", Code.NotFound);
    });
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"] });
    const ids = Array.from({ length: 100 }, (_, index) => `user${index}`);
    const found = await accounts.getMany(ids);
    assert.deepEqual(
      [...found.keys()],
      ids.filter((id) => !id.endsWith("7")),
    );
    assert.equal(most, 16);
  });

  test("has a deadline that reaches auth: its own, or the caller's if that is sooner", async (t) => {
    const { url, servers } = await startAuthServers(t, 1);
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"], timeoutMs: 7_000 });
    const { signal } = new AbortController();
    await accounts.get("a");
    await accounts.get("b", { signal, timeoutMs: () => undefined });
    await accounts.get("c", { signal, timeoutMs: () => 60_000 });
    await accounts.get("d", { signal, timeoutMs: () => 500 });
    const timeouts = servers[0]?.calls.map(({ headers }) => headers.get("grpc-timeout") ?? "") ?? [];
    const inMs = timeouts.map((text) => {
      assert.match(text, /^\d+m$/);
      return Number.parseInt(text, 10);
    });
    for (const timeout of inMs.slice(0, 3)) assert.ok(timeout > 500 && timeout <= 7_000, String(timeout));
    assert.ok((inMs[3] ?? 0) <= 500, timeouts[3]);
  });

  test("is AUTH_UNAVAILABLE, and says nothing internal, whatever it is that keeps auth from answering", async (t) => {
    const { url, servers } = await startAuthServers(t, 1, ({ userId }) => {
      if (userId === "silence") return new Promise(() => {});
      throw new ConnectError("secret detail", Code.Unavailable);
    });
    const resolve = async () => ["127.0.0.1"];
    const unavailable = (error: unknown) => {
      assert.ok(error instanceof AuthUnavailableError, String(error));
      assert.equal(error.message, "the auth service is unavailable; try again");
      assert.equal(error.reason, "AUTH_UNAVAILABLE");
      assert.ok(error.cause instanceof Error);
      return true;
    };
    const accounts = open(t, { url, resolve, timeoutMs: 200 });
    await assert.rejects(accounts.get("silence"), unavailable);
    await assert.rejects(accounts.get("anybody"), unavailable);
    await assert.rejects(accounts.getMany(["silence", "anybody"]), unavailable);
    const nowhere = open(t, {
      url,
      resolve: () => Promise.reject(new Error("ENOTFOUND auth.test")),
      timeoutMs: 200,
    });
    await assert.rejects(nowhere.get("anybody"), unavailable);
    await servers[0]?.stop("at once");
    await assert.rejects(accounts.get("anybody"), unavailable);
    await assert.rejects(open(t, { url, resolve, timeoutMs: 200 }).get("anybody"), unavailable);
  });

  test("finds a host that could not be resolved before, as soon as it can be", async (t) => {
    const { url } = await startAuthServers(t, 1);
    let failures = 0;
    const accounts = open(t, {
      url,
      async resolve() {
        failures += 1;
        if (failures <= 3) throw new Error("ENOTFOUND auth.test");
        return ["127.0.0.1"];
      },
    });
    assert.equal((await accounts.get("ada")).id, "ada");
  });

  test("that auth refuses is an unexpected error of which its text is only the cause", async (t) => {
    const { url } = await startAuthServers(t, 1, () => {
      throw new ConnectError("secret detail", Code.PermissionDenied);
    });
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"] });
    await assert.rejects(accounts.get("ada"), (error: Error) => {
      assert.ok(!(error instanceof ConnectError));
      assert.doesNotMatch(error.message, /secret/);
      assert.match(String(error.cause), /secret detail/);
      return true;
    });
  });

  test("shows this process's key, and its refusal is this process's fault, not that of who called it", async (t) => {
    const reasons = [Code.Unauthenticated, Code.PermissionDenied];
    const { url, servers } = await startAuthServers(t, 1, ({ userId }) => {
      const code = reasons[Number(userId)];
      if (code !== undefined) throw new ConnectError("secret detail", code);
    });
    const shown = { credential: "ubk_profiles", allowInsecureCredential: true };
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"], ...shown });
    await accounts.get("ada");
    for (const [userId, code] of reasons.entries()) {
      await assert.rejects(accounts.get(String(userId)), (error: Error) => {
        assert.ok(!(error instanceof ConnectError) && !(error instanceof DomainError));
        assert.match(error.message, new RegExp(`${Code[code]}.*AUTH_API_KEY.*accounts:read`));
        assert.doesNotMatch(error.message, /secret|ubk_/);
        return true;
      });
    }
    assert.deepEqual(
      servers[0]?.calls.map(({ headers }) => headers.get("authorization")),
      Array(3).fill("Bearer ubk_profiles"),
    );
  });

  test("ends with its caller, with the caller's own reason", async (t) => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { url, servers } = await startAuthServers(t, 1, () => held);
    const accounts = open(t, { url, resolve: async () => ["127.0.0.1"] });
    const leaving = new AbortController();
    const reason = new Error("left");
    const call = accounts.get("ada", { signal: leaving.signal, timeoutMs: () => undefined });
    await until("the call", () => servers[0]?.calls.length === 1);
    leaving.abort(reason);
    await assert.rejects(call, (error) => error === reason);
    release();
  });

  test("with side effects is made once, and goes to the next address only if it was never sent", async (t) => {
    const { url, servers } = await startAuthServers(t, 3, ({ method }, server) =>
      method === "DeleteUser" ? server.stop("at once") : undefined,
    );
    const transport = createRoundRobinTransport({
      baseUrl: url,
      resolve: async () => addressesOf(servers),
      skip: { firstMs: 60_000, longestMs: 60_000 },
    });
    cleanUpAfter(t, transport.close);
    const client = createClient(AuthService, transport);
    const received = () =>
      servers.flatMap(({ calls }) => calls).filter(({ method }) => method === "DeleteUser");
    for (const expected of [1, 2, 3]) {
      await expectError(client.deleteUser({ userId: "ada" }), { code: Code.Unavailable });
      assert.equal(received().length, expected);
    }
    await expectError(client.deleteUser({ userId: "ada" }), { code: Code.Unavailable });
    assert.equal(received().length, 3);
    await (servers[2] as AuthServer).start();
    await expectError(client.deleteUser({ userId: "ada" }), { code: Code.Unavailable });
    assert.equal(received().length, 4);
  });

  test("with side effects and an idempotency key goes on to the next address, with the same key", async (t) => {
    const { url, servers } = await startAuthServers(t, 3, ({ method }, server) =>
      method === "DeleteUser" && server !== servers[2] ? server.stop("at once") : undefined,
    );
    const transport = createRoundRobinTransport({ baseUrl: url, resolve: async () => addressesOf(servers) });
    cleanUpAfter(t, transport.close);
    const client = createClient(AuthService, transport);
    const calling = async () => {
      while (servers.some(({ calls }) => calls.length === 0)) {
        await client.deleteUser({ userId: "ada" }, { headers: { "idempotency-key": "mine" } });
      }
    };
    await withDeadline("all addresses to be called", calling());
    const keys = servers.flatMap(({ calls }) => calls.map(({ headers }) => headers.get("idempotency-key")));
    assert.deepEqual(new Set(keys), new Set(["mine"]));
  });

  test("needs a URL of a host and nothing more, and one that is anything else is refused at once", () => {
    for (const url of [
      "",
      "auth",
      "auth:50051",
      "ftp://auth:1",
      "http://auth:1/path",
      "http://a:b@auth:1",
      "http://auth/?x",
    ]) {
      assert.throws(() => createRemoteAccounts({ url }), /must be like http:\/\/auth:50051/, url);
    }
    for (const url of ["http://auth:50051", "https://auth", "http://[::1]:50051/"]) {
      createRemoteAccounts({ url }).close();
    }
  });
});
