import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { connectRaw } from "./support/raw-http.ts";
import { runCommand, startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

const registerPath = "/users.v1.UserService/RegisterUser";

/** A call that the server has begun to read and cannot answer yet: half of its body is missing. */
async function beginCall(url: string, username: string) {
  const body = JSON.stringify({ email: `${username}@example.com`, username });
  const socket = connectRaw(url);
  const head = `POST ${registerPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`;
  socket.write(head);
  await once(socket, "data"); // "100 Continue": the server is in the middle of the call
  socket.write(body.slice(0, 10));
  return {
    socket,
    async finish() {
      socket.write(body.slice(10));
      return text(socket);
    },
  };
}

for (const backend of backends) {
  describe(`the end of a process on the ${backend.name} database`, () => {
    test("SIGTERM: NOT_SERVING, calls finish, streams say to resume, connections close, exit 0", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      const server = await startServerProcess(database.variables);
      t.after(() => server.child.kill("SIGKILL"));

      const streams = [
        createGrpcTransport({ baseUrl: server.url }),
        createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }),
      ].map((transport) =>
        createClient(UserService, transport)
          .streamUserEvents({ progressInterval: { seconds: 3600n } })
          [Symbol.asyncIterator](),
      );
      for (const stream of streams) {
        assert.equal((await stream.next()).value?.type, "progress");
      }
      const watch = createClient(Health, createGrpcTransport({ baseUrl: server.url }))
        .watch({})
        [Symbol.asyncIterator]();
      assert.equal((await watch.next()).value?.status, Status.SERVING);
      const idleHttp2 = http2.connect(server.url);
      await once(idleHttp2, "remoteSettings");
      const goneAway = once(idleHttp2, "goaway");
      const keepAlive = connectRaw(server.url);
      keepAlive.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
      await once(keepAlive, "data");
      const keepAliveEnd = once(keepAlive, "close");
      keepAlive.resume();
      const silent = connectRaw(server.url);
      await once(silent, "connect");
      const silentEnd = once(silent, "close");
      silent.resume();
      const call = await beginCall(server.url, "finisher");

      const ended = server.stop("SIGTERM");
      assert.equal((await withDeadline("NOT_SERVING", watch.next())).value?.status, Status.NOT_SERVING);
      for (const stream of streams) {
        const error = await stream.next().then(
          () => undefined,
          (failure: unknown) => failure,
        );
        assert.ok(error instanceof ConnectError);
        assert.equal(error.code, Code.Unavailable);
        assert.match(error.message, /resume from the last cursor/);
      }
      await withDeadline("GOAWAY", goneAway);
      await withDeadline("the idle connection's end", keepAliveEnd);
      await withDeadline("the end of a connection that never spoke", silentEnd);
      const answer = await withDeadline("the call in flight", call.finish());
      assert.match(answer, /^HTTP\/1\.1 200 OK/m);
      assert.match(answer, /"username":"finisher"/);
      assert.deepEqual(await withDeadline("the process", ended), { code: 0, signal: null });
    });

    test("what is still in flight after DRAIN_TIMEOUT is cut off, and the exit status is 0 all the same", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      const server = await startServerProcess({ ...database.variables, DRAIN_TIMEOUT: "200ms" });
      t.after(() => server.child.kill("SIGKILL"));
      const call = await beginCall(server.url, "sleeper");
      const closed = once(call.socket, "close");
      call.socket.resume().on("error", () => {});
      assert.deepEqual(await withDeadline("the process", server.stop("SIGTERM")), { code: 0, signal: null });
      await closed;
    });

    test("a second signal ends the process at once", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      const server = await startServerProcess({
        ...database.variables,
        DRAIN_TIMEOUT: "1h",
        LOG_LEVEL: "info",
      });
      t.after(() => server.child.kill("SIGKILL"));
      const call = await beginCall(server.url, "sleeper");
      call.socket.on("error", () => {});
      const stopping = new Promise<void>((resolve) => {
        server.child.stderr?.on("data", () => server.output().includes("stopping") && resolve());
      });
      server.child.kill("SIGTERM");
      await withDeadline("the first signal", stopping);
      assert.deepEqual(await withDeadline("the process", server.stop("SIGTERM")), {
        code: 143,
        signal: null,
      });
    });
  });
}

describe("the start of a process", () => {
  for (const variable of ["LISTEN", "INTERNAL_LISTEN"]) {
    test(`a port in use is named with ${variable} and what to do, exit status 1, no stack trace, and the database is closed again`, async (t) => {
      const [embedded] = backends;
      assert.ok(embedded);
      const database = await embedded.create();
      t.after(() => database.drop());
      const blocker = net.createServer().listen(0, "127.0.0.1");
      await once(blocker, "listening");
      t.after(() => blocker.close());
      const { port } = blocker.address() as net.AddressInfo;
      const { code, stderr } = await runCommand(["serve"], {
        ...database.variables,
        LISTEN: "127.0.0.1:0",
        INTERNAL_LISTEN: "127.0.0.1:0",
        [variable]: `127.0.0.1:${port}`,
        LOG_LEVEL: "warn",
      });
      assert.equal(code, 1);
      const message = `user-bridge: ${variable}: 127.0.0.1:${port} is in use by another process (EADDRINUSE). Set ${variable} to `;
      assert.ok(stderr.startsWith(message), stderr);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      const server = await startServerProcess(database.variables);
      assert.equal((await server.stop("SIGTERM")).code, 0);
    });
  }

  test("a PostgreSQL that is not there is named without its password, exit status 1, no stack trace", async () => {
    const { code, stderr } = await runCommand(["serve"], {
      DATABASE_URL: "postgres://someone:hunter2@127.0.0.1:1/nothing",
      AUTH: "off",
    });
    assert.equal(code, 1);
    assert.match(stderr, /the database cannot be reached: .*127\.0\.0\.1:1/);
    assert.doesNotMatch(stderr, /hunter2|\n\s+at /);
  });
});
