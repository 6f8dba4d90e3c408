import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Interceptor } from "@connectrpc/connect";
import { Code, ConnectError, type Credential, type CredentialOptions } from "../../src/client/exports.ts";
import { createNodeTransport } from "../../src/client/node.ts";
import { createRoundRobinTransport } from "../../src/client/round-robin.ts";
import { createUserBridgeClient, type UserBridgeClientOptions } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { expectError } from "../support/expect-error.ts";
import { answerEmpty, type Http2Call, startHttp2Server } from "./http2-server.ts";
import { type ScriptedServer, startScriptedServer } from "./scripted-server.ts";

interface Shown extends CredentialOptions {
  readonly interceptors?: readonly Interceptor[];
}

/** A server and every way to reach it with a credential; what it has seen of credentials. */
const ways: readonly {
  readonly name: string;
  open(t: TestContext, shown: Shown): Promise<{ options: UserBridgeClientOptions; seen(): unknown[] }>;
}[] = [
  {
    name: "fetch",
    async open(t, shown) {
      const server = await script(t);
      return {
        options: { baseUrl: server.url, ...shown },
        seen: () => server.calls.map(({ headers }) => headers.authorization),
      };
    },
  },
  ...(["grpc", "connect"] as const).map((protocol) => ({
    name: `HTTP/2 and ${protocol}`,
    async open(t: TestContext, shown: Shown) {
      const { port, calls } = await startHttp2Server(t, answerEmpty);
      const transport = createNodeTransport({ baseUrl: `http://127.0.0.1:${port}`, protocol, ...shown });
      cleanUpAfter(t, transport.close);
      return { options: { transport }, seen: () => calls.map(authorizationOf) };
    },
  })),
];

const authorizationOf = ({ headers }: Http2Call) => headers.authorization;

async function script(t: TestContext): Promise<ScriptedServer> {
  const server = await startScriptedServer(() => "empty");
  cleanUpAfter(t, server.close);
  return server;
}

describe("a client's credential", () => {
  for (const way of ways) {
    test(`is shown to the server with each call and stream over ${way.name}`, async (t) => {
      const { options, seen } = await way.open(t, { credential: "ubk_secret" });
      const client = createUserBridgeClient(options);
      await client.getUser({});
      await client.registerUser({});
      await client
        .streamUserEvents({})
        [Symbol.asyncIterator]()
        .next()
        .catch(() => {});
      assert.deepEqual(seen(), Array(3).fill("Bearer ubk_secret"));
    });

    test(`is asked for anew for each call over ${way.name}; the empty text is none`, async (t) => {
      const texts = ["first", "second", ""];
      const { options, seen } = await way.open(t, { credential: async () => texts.shift() ?? "" });
      const client = createUserBridgeClient(options);
      for (let call = 0; call < 3; call++) await client.getUser({});
      assert.deepEqual(seen(), ["Bearer first", "Bearer second", undefined]);
    });

    test(`gives way to one that a call has of its own, over ${way.name}`, async (t) => {
      const { options, seen } = await way.open(t, { credential: "ubk_secret" });
      await createUserBridgeClient(options).getUser({}, { headers: { authorization: "Bearer of-a-user" } });
      assert.deepEqual(seen(), ["Bearer of-a-user"]);
    });

    test(`is hidden from the caller's interceptors over ${way.name}`, async (t) => {
      const logged: string[] = [];
      const log: Interceptor = (next) => async (request) => {
        logged.push(JSON.stringify([...request.header]));
        const response = await next(request);
        logged.push(JSON.stringify([...request.header]));
        return response;
      };
      const { options, seen } = await way.open(t, { credential: "ubk_secret", interceptors: [log] });
      await createUserBridgeClient(options).getUser({});
      assert.deepEqual(seen(), ["Bearer ubk_secret"]);
      assert.equal(logged.length, 2);
      assert.doesNotMatch(logged.join(), /secret/);
    });
  }

  test("is asked for anew for each attempt", async (t) => {
    const server = await startScriptedServer((_, earlierCalls) =>
      earlierCalls < 2 ? "unavailable" : "empty",
    );
    cleanUpAfter(t, server.close);
    let asked = 0;
    const client = createUserBridgeClient({
      baseUrl: server.url,
      credential: () => `token${++asked}`,
      retry: { firstMs: 1, longestMs: 1 },
    });
    await client.registerUser({});
    assert.deepEqual(
      server.calls.map(({ headers }) => headers.authorization),
      ["Bearer token1", "Bearer token2", "Bearer token3"],
    );
  });

  test("that is refused is not tried again", async (t) => {
    for (const outcome of ["unauthenticated", "permission_denied"] as const) {
      const server = await startScriptedServer(() => outcome);
      cleanUpAfter(t, server.close);
      const client = createUserBridgeClient({ baseUrl: server.url, credential: "ubk_secret" });
      const code = outcome === "unauthenticated" ? Code.Unauthenticated : Code.PermissionDenied;
      await expectError(client.getUser({}), { code });
      await expectError(client.registerUser({}), { code });
      assert.equal(server.calls.length, 2);
    }
  });

  test("that cannot be had fails the call as it says, or as UNAVAILABLE, and is asked for again", async (t) => {
    const server = await script(t);
    const failures: Error[] = [
      new TypeError("offline"),
      new ConnectError("signed out", Code.InvalidArgument),
    ];
    const credential = () => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return "token";
    };
    const options = { baseUrl: server.url, credential };
    const patient = createUserBridgeClient({ ...options, retry: { firstMs: 1, longestMs: 1 } });
    await expectError(patient.getUser({}), { code: Code.InvalidArgument });
    failures.push(new TypeError("offline"));
    const once = createUserBridgeClient({ ...options, retry: false });
    const error = await expectError(once.getUser({}), { code: Code.Unavailable });
    assert.match(error.message, /no credential could be had: offline/);
    assert.equal(server.calls.length, 0);
  });

  test("that never comes does not outlive the call's deadline or its caller", async (t) => {
    const server = await script(t);
    const client = createUserBridgeClient({ baseUrl: server.url, credential: () => new Promise(() => {}) });
    await expectError(client.getUser({}, { timeoutMs: 50 }), { code: Code.DeadlineExceeded });
    const leaving = new AbortController();
    const call = client.getUser({}, { signal: leaving.signal });
    leaving.abort();
    await expectError(call, { code: Code.Canceled });
  });

  test("goes to another machine only over https, unless that is allowed", () => {
    const credential = "ubk_secret";
    const closed = [
      "http://bridge.example.com",
      "http://10.0.0.1:8080",
      "http://[::2]",
      "http://localhost.evil",
    ];
    const open = [
      "https://bridge.example.com",
      "http://127.9.9.9:1",
      "http://[::1]:8080",
      "http://LOCALHOST",
    ];
    const makers = [
      (options: { baseUrl: string } & CredentialOptions) => void createUserBridgeClient(options),
      (options: { baseUrl: string } & CredentialOptions) => createNodeTransport(options).close(),
      (options: { baseUrl: string } & CredentialOptions) => createRoundRobinTransport(options).close(),
    ];
    for (const make of makers) {
      for (const baseUrl of closed) {
        assert.throws(() => make({ baseUrl, credential }), /only over https/, baseUrl);
        assert.throws(() => make({ baseUrl, credential: () => "x" }), /only over https/, baseUrl);
        make({ baseUrl, credential, allowInsecureCredential: true });
        make({ baseUrl });
      }
      for (const baseUrl of open) make({ baseUrl, credential });
    }
  });

  test("that no header can carry is refused without being repeated", async (t) => {
    const server = await script(t);
    const options = (credential: Credential) => ({ baseUrl: server.url, credential });
    for (const text of ["ubk_secret\n", "ubk secret", "gehe\u00efm", "ubk_secret\r\nx: y"]) {
      const withoutSecret = (error: unknown) => {
        assert.match(String(error), /characters that no header can carry/);
        assert.ok(!String(error).includes(text));
        return true;
      };
      assert.throws(() => createUserBridgeClient(options(text)), withoutSecret);
      const asked = createUserBridgeClient(options(() => text));
      withoutSecret(await expectError(asked.getUser({}), { code: Code.Unauthenticated }));
    }
    assert.equal(server.calls.length, 0);
  });

  test("beside a transport is refused: that would not show it", (t) => {
    const transport = createNodeTransport({ baseUrl: "http://127.0.0.1:1" });
    cleanUpAfter(t, transport.close);
    const options = { transport, credential: "ubk_secret" } as unknown as UserBridgeClientOptions;
    assert.throws(() => createUserBridgeClient(options), /to the transport/);
  });
});
