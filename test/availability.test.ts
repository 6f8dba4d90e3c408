import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { openTcpProxy } from "./support/tcp-proxy.ts";
import { startTestApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

// The embedded database lives and dies with the process: only a server can be away.
for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe("a lost PostgreSQL", () => {
    test("turns the service NOT_SERVING and its calls UNAVAILABLE; returned, all goes on by itself", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      assert.ok(database.config.kind === "postgres");
      const target = new URL(database.config.url);
      const proxy = await openTcpProxy(target.hostname, Number(target.port || 5432));
      t.after(() => proxy.close());
      const url = new URL(database.config.url);
      url.host = `127.0.0.1:${proxy.port}`;
      const app = await startTestApp((cleanUp) => t.after(cleanUp), backend, {
        database: { kind: "postgres", url: url.href, poolSize: 4 },
      });
      const transport = createGrpcTransport({ baseUrl: app.url });
      const users = createClient(UserService, transport);
      const watch = createClient(Health, transport).watch({})[Symbol.asyncIterator]();
      const nextStatus = async () =>
        (await withDeadline("a change of health", watch.next())).value?.status as Status;
      const ready = async () => (await fetch(`${app.url}/readyz`)).status;

      const events = users.streamUserEvents({ progressInterval: { seconds: 3600n } })[Symbol.asyncIterator]();
      assert.equal((await events.next()).value?.type, "progress");
      const { id } = await users.registerUser({ email: "before@example.com", username: "before" });
      assert.equal((await events.next()).value?.payload?.id, id);
      assert.equal(await nextStatus(), Status.SERVING);
      assert.equal(await ready(), 200);

      await proxy.cut();
      assert.equal(await nextStatus(), Status.NOT_SERVING);
      assert.equal(await ready(), 503);
      assert.equal((await fetch(`${app.url}/healthz`)).status, 200);
      for (const call of [
        () => users.getUser({ id }),
        () => users.registerUser({ email: "during@example.com", username: "during" }),
        () => users.streamUserEvents({})[Symbol.asyncIterator]().next(),
      ]) {
        const error = await expectError(call(), { code: Code.Unavailable, reason: "DATABASE_UNAVAILABLE" });
        assert.doesNotMatch(error.message, /ECONNREFUSED|127\.0\.0\.1|terminated/);
      }

      await proxy.mend();
      assert.equal(await nextStatus(), Status.SERVING);
      assert.equal(await ready(), 200);
      const after = await users.registerUser({ email: "after@example.com", username: "after" });
      assert.equal((await withDeadline("the event", events.next())).value?.payload?.id, after.id);
      assert.equal((await users.getUser({ id })).user?.username, "before");
    });
  });
}
