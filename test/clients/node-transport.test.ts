import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { constants } from "node:http2";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { Code, createClient } from "@connectrpc/connect";
import selfsigned from "selfsigned";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { BackOff } from "../../src/client/back-off.ts";
import { createNodeTransport, type NodeTransportOptions } from "../../src/client/node.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { expectError } from "../support/expect-error.ts";
import { withDeadline } from "../support/with-deadline.ts";
import { startFollower } from "./follower.ts";
import { answerEmpty, cutOff, type Http2Call, startHttp2Server } from "./http2-server.ts";

const run = promisify(execFile);
const protocols = ["grpc", "grpc-web", "connect"] as const;
const user = { email: "ada@example.com", username: "ada" };

function open(t: TestContext, port: number, options: Partial<NodeTransportOptions> = {}) {
  const transport = createNodeTransport({ baseUrl: `http://127.0.0.1:${port}`, ...options });
  cleanUpAfter(t, transport.close);
  const create = (retry: BackOff | false) => createUserBridgeClient({ transport, retry, timeoutMs: 10_000 });
  return { transport, client: create({ firstMs: 1, longestMs: 20 }), once: create(false) };
}

/** What a server that ends can do to a call that it has received. */
const endings: Readonly<Record<string, (call: Http2Call) => void>> = {
  "the server refuses": ({ stream }) => stream.close(constants.NGHTTP2_REFUSED_STREAM),
  "the server closes without an answer": ({ stream }) => stream.close(constants.NGHTTP2_NO_ERROR),
  "the server cancels": ({ stream }) => stream.close(constants.NGHTTP2_CANCEL),
  "the server leaves with an error": ({ session }) => session.goaway(constants.NGHTTP2_INTERNAL_ERROR),
  "something else answers": ({ socket }) => void socket.write("HTTP/1.1 502 Bad Gateway\r\n\r\n"),
  "loses its connection": ({ socket }) => void socket.destroy(),
};

/** An answer that ends in the middle: in Connect's protocol only that of a stream can be told from a whole one. */
const unaryEndings = (protocol: (typeof protocols)[number]) =>
  protocol === "connect" ? endings : { ...endings, "is cut off while the server answers": cutOff };

describe("the transport for Node", () => {
  for (const protocol of protocols) {
    for (const [ending, end] of Object.entries(unaryEndings(protocol))) {
      test(`over ${protocol} makes a call UNAVAILABLE that ${ending}, so that it is repeated, a write with its key`, async (t) => {
        const server = await startHttp2Server(t, (call) =>
          [0, 1, 3].includes(call.index) ? end(call) : answerEmpty(call),
        );
        const { client, once } = open(t, server.port, { protocol });
        await expectError(once.registerUser(user), { code: Code.Unavailable });
        await client.listUsers({});
        await client.registerUser(user);
        const key = server.calls.at(-1)?.headers["idempotency-key"];
        assert.match(String(key), /^[0-9a-f]{32}$/);
        assert.deepEqual(
          server.calls.map(({ method, headers }) => [method, headers["idempotency-key"]]),
          [
            ["RegisterUser", undefined],
            ["ListUsers", undefined],
            ["ListUsers", undefined],
            ["RegisterUser", key],
            ["RegisterUser", key],
          ],
        );
      });
    }

    for (const [ending, end] of Object.entries({ ...endings, "is cut off in the middle": cutOff })) {
      test(`over ${protocol} lets a follower go on whose stream ${ending}`, async (t) => {
        const server = await startHttp2Server(t, (call) => {
          if (call.index < 3) end(call);
        });
        const { client } = open(t, server.port, { protocol });
        const follower = startFollower(t, client, { reconnect: { firstMs: 1, longestMs: 20 } });
        await follower.until("the third loss", ({ statuses }) => {
          return statuses.filter(({ state }) => state === "reconnecting").length === 3;
        });
        for (const status of follower.statuses) {
          if (status.state === "reconnecting") assert.equal(Code[status.error.code], "Unavailable");
        }
        await follower.stop();
      });
    }
  }

  test("says UNAVAILABLE to interceptors, too, and to clients of other makes", async (t) => {
    const codes: Code[] = [];
    const server = await startHttp2Server(t, ({ stream }) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    const { transport } = open(t, server.port, {
      interceptors: [
        (next) => (request) =>
          next(request).catch((error) => {
            codes.push(error.code);
            throw error;
          }),
      ],
    });
    const users = createClient(UserService, transport);
    await expectError(users.listUsers({}), { code: Code.Unavailable });
    assert.deepEqual(codes, [Code.Unavailable]);
  });

  test("leaves what the server says, the deadline and the caller's own end as they are", async (t) => {
    const server = await startHttp2Server(t, (call) => {
      if (call.method !== "RegisterUser") return;
      call.stream.respond(
        { ":status": 200, "content-type": "application/grpc+proto", "grpc-status": "13" },
        { endStream: true },
      );
    });
    const { client } = open(t, server.port);
    await expectError(client.registerUser(user), { code: Code.Internal });
    await expectError(client.listUsers({}, { timeoutMs: 20 }), { code: Code.DeadlineExceeded });
    const leaving = new AbortController();
    const left = client.listUsers({}, { signal: leaving.signal });
    while (server.calls.length < 3) await setImmediate();
    leaving.abort();
    await expectError(left, { code: Code.Canceled });
    assert.equal(server.calls.length, 3);
  });

  test("fails its calls when it is closed, and connects again for the next one", async (t) => {
    const server = await startHttp2Server(t, (call) => {
      if (call.method === "ListUsers") answerEmpty(call);
    });
    const { client, once, transport } = open(t, server.port);
    const held = once.registerUser(user);
    held.catch(() => {});
    while (server.calls.length < 1) await setImmediate();
    transport.close();
    await expectError(held, { code: Code.Unavailable });
    await client.listUsers({});
    assert.equal(server.calls.length, 2);
  });

  test("shares one connection among calls at once, and takes another when the server says that it goes", async (t) => {
    const held: Http2Call[] = [];
    const server = await startHttp2Server(t, (call) => {
      if (call.index < 20) held.push(call);
      else answerEmpty(call);
    });
    const { client } = open(t, server.port);
    const calls = Array.from({ length: 20 }, () => client.registerUser(user));
    while (held.length < 20) await setImmediate();
    const [first] = server.sessions.keys();
    assert.equal(server.sessions.size, 1);
    first?.close();
    await client.listUsers({});
    assert.equal(server.sessions.size, 2);
    // A call that the server has begun with is awaited.
    for (const call of held) answerEmpty(call);
    await withDeadline("the calls", Promise.all(calls));
  });

  test("trusts, names the server and identifies itself as it is told", async (t) => {
    const names = ["bridge.test", "ada"];
    const [server, client] = (await Promise.all(
      names.map((name) =>
        selfsigned.generate([{ name: "commonName", value: name }], {
          extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: name }] }],
        }),
      ),
    )) as [selfsigned.GenerateResult, selfsigned.GenerateResult];
    const { port, calls } = await startHttp2Server(t, answerEmpty, {
      key: server.private,
      cert: server.cert,
      ca: client.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const baseUrl = `https://127.0.0.1:${port}`;
    const tls = { ca: server.cert, servername: "bridge.test", key: client.private, cert: client.cert };
    await open(t, port, { baseUrl, tls }).client.listUsers({});
    const socket = calls[0]?.socket as TLSSocket;
    assert.equal((socket as { servername?: string }).servername, "bridge.test");
    assert.equal(socket.getPeerCertificate().subject.CN, "ada");
    for (const [wrong, reason] of [
      [{ ...tls, ca: client.cert }, /self-signed certificate/],
      [{ ...tls, servername: "other.test" }, /does not match certificate.*other\.test/],
      [{ ca: server.cert, servername: "bridge.test" }, /certificate required/],
    ] as const) {
      const { once: stranger } = open(t, port, { baseUrl, tls: wrong });
      await assert.rejects(stranger.registerUser(user), reason);
    }
    assert.equal(calls.length, 1);
  });
});

describe("a process with the transport for Node", () => {
  /** @returns how many of its calls were answered, when it has ended by itself without an error */
  async function runCallers(port: number, callers: number, callsEach: number): Promise<number> {
    const script = join(import.meta.dirname, "caller-process.ts");
    const callArguments = [`http://127.0.0.1:${port}`, String(callers), String(callsEach)];
    const { stdout } = await run(process.execPath, [script, ...callArguments], { timeout: 30_000 });
    return Number(stdout);
  }

  test("ends by itself although the connection is open", async (t) => {
    const server = await startHttp2Server(t, answerEmpty);
    assert.equal(await runCallers(server.port, 2, 10), 20);
  });

  for (const callers of [1, 8]) {
    test(`outlives a server that says that it goes whenever it has nothing to do, with ${callers} calling`, async (t) => {
      const server = await startHttp2Server(t, (call) => {
        call.stream.on("close", () => call.session.close());
        answerEmpty(call);
      });
      assert.ok((await runCallers(server.port, callers, 160 / callers)) > 0);
    });
  }
});
