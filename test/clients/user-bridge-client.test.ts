import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Interceptor } from "@connectrpc/connect";
import { Code, ConnectError, findErrorReason, findFieldFaults } from "../../src/client/exports.ts";
import { createNodeTransport } from "../../src/client/node.ts";
import { createUserBridgeClient, type UserBridgeClientOptions } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { backends } from "../support/databases.ts";
import { expectError } from "../support/expect-error.ts";
import { openTcpProxy } from "../support/tcp-proxy.ts";
import { useTestApp } from "../support/test-app.ts";

const [backend] = backends;
assert.ok(backend);

/** Every way to reach a server: fetch with both protocols, Node's HTTP/2 with all three. */
const ways: readonly {
  name: string;
  reach(t: TestContext, baseUrl: string, interceptors?: readonly Interceptor[]): UserBridgeClientOptions;
}[] = [
  ...(["connect", "grpc-web"] as const).map((protocol) => ({
    name: `fetch and ${protocol}`,
    reach: (_: TestContext, baseUrl: string, interceptors: readonly Interceptor[] = []) => ({
      baseUrl,
      protocol,
      interceptors,
    }),
  })),
  ...(["grpc", "grpc-web", "connect"] as const).map((protocol) => ({
    name: `HTTP/2 and ${protocol}`,
    reach: (t: TestContext, baseUrl: string, interceptors: readonly Interceptor[] = []) => {
      const transport = createNodeTransport({ baseUrl, protocol, interceptors });
      cleanUpAfter(t, transport.close);
      return { transport };
    },
  })),
];

describe("createUserBridgeClient", () => {
  const app = useTestApp(backend);

  for (const [index, way] of ways.entries()) {
    test(`over ${way.name}, calls answer and errors say why`, async (t) => {
      const client = createUserBridgeClient(way.reach(t, app.url));
      const username = `way${index}`;
      const user = { email: `${username}@example.com`, username };
      const { id } = await client.registerUser(user);
      assert.equal((await client.getUser({ id })).user?.username, username);
      const taken = await expectError(client.registerUser(user), { code: Code.AlreadyExists });
      assert.equal(findErrorReason(taken)?.reason, "EMAIL_TAKEN");
      const wrong = await expectError(client.registerUser({ ...user, email: "no" }), {
        code: Code.InvalidArgument,
      });
      assert.deepEqual(
        findFieldFaults(wrong).map(({ field }) => field),
        ["email"],
      );
    });

    test(`over ${way.name}, calls outlive a lost server, and without retries it is UNAVAILABLE`, async (t) => {
      const { hostname, port } = new URL(app.url);
      const proxy = await openTcpProxy(hostname, Number(port));
      cleanUpAfter(t, proxy.close);
      let attempts = 0;
      let mendAfter = Number.POSITIVE_INFINITY;
      const noteAttempts: Interceptor = (next) => async (request) => {
        attempts += 1;
        try {
          return await next(request);
        } finally {
          if (attempts === mendAfter) await proxy.mend();
        }
      };
      const options = way.reach(t, `http://127.0.0.1:${proxy.port}`, [noteAttempts]);
      const client = createUserBridgeClient({
        ...options,
        retry: { firstMs: 5, longestMs: 20 },
        timeoutMs: 20_000,
      });
      const username = `lost${index}`;
      const register = () => client.registerUser({ email: `${username}@example.com`, username });
      for (const call of [register, () => client.listUsers({})]) {
        await proxy.cut();
        [attempts, mendAfter] = [0, Number.POSITIVE_INFINITY];
        const once = createUserBridgeClient({ ...options, retry: false });
        await expectError(once.deleteUser({ id: crypto.randomUUID() }), { code: Code.Unavailable });
        assert.equal(attempts, 1);
        [attempts, mendAfter] = [0, 3];
        await call();
        assert.equal(attempts, 4);
      }
    });

    test(`over ${way.name}, a write whose answer is lost happens once and is answered`, async (t) => {
      const answers: unknown[] = [];
      const loseTheFirst: Interceptor = (next) => async (request) => {
        const response = await next(request);
        answers.push(response.message);
        if (answers.length === 1) throw new ConnectError("the answer was lost", Code.Unavailable);
        return response;
      };
      const client = createUserBridgeClient({
        ...way.reach(t, app.url, [loseTheFirst]),
        retry: { firstMs: 1, longestMs: 1 },
      });
      const username = `twice${index}`;
      const { id } = await client.registerUser({ email: `${username}@example.com`, username });
      assert.deepEqual(
        answers.map((answer) => (answer as { id: string }).id),
        [id, id],
      );
    });
  }

  test("tells a caller without types that fetch cannot speak gRPC, and what can", () => {
    const options = JSON.parse(
      '{"baseUrl":"http://127.0.0.1:8080","protocol":"grpc"}',
    ) as UserBridgeClientOptions;
    assert.throws(
      () => createUserBridgeClient(options),
      /fetch cannot speak grpc.*user-bridge\/client\/node/,
    );
  });
});
