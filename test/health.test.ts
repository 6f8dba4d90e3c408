import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  createHandlerContext,
  type ServiceImpl,
} from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health_pb.ts";
import { createHealthHandler } from "../src/server/health/health.handler.ts";
import { createHealthStatus, type HealthStatus } from "../src/server/health/health.status.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = ServingStatus;
const usersService = "users.v1.UserService";

async function connect(
  t: TestContext,
  handler: ServiceImpl<typeof Health>,
  shutdownSignal?: AbortSignal,
): Promise<Client<typeof Health>> {
  const routes = connectNodeAdapter({
    routes: (router) => void router.service(Health, handler),
    ...(shutdownSignal && { shutdownSignal }),
  });
  const server = createServer(routes).listen(0, "127.0.0.1");
  await once(server, "listening");
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  t.after(async () => {
    sessionManager.abort();
    server.close();
    await once(server, "close");
  });
  return createClient(Health, createGrpcTransport({ baseUrl, sessionManager }));
}

async function nextStatus(
  stream: AsyncIterator<MessageInitShape<typeof HealthCheckResponseSchema>>,
): Promise<ServingStatus | undefined> {
  const result = await stream.next();
  assert.ok(result.done !== true, "the stream has ended");
  return result.value.status;
}

test("a new process does not serve, and Check follows what is set, for the server and for each service", async (t) => {
  const status = createHealthStatus([usersService]);
  const health = await connect(t, createHealthHandler(status));
  const checkAll = () =>
    Promise.all(["", usersService].map(async (service) => (await health.check({ service })).status));

  assert.deepEqual(await checkAll(), [NOT_SERVING, NOT_SERVING]);
  status.set(true);
  assert.deepEqual(await checkAll(), [SERVING, SERVING]);
  status.set(false);
  assert.deepEqual(await checkAll(), [NOT_SERVING, NOT_SERVING]);
});

test("Check of an unknown service is NOT_FOUND", async (t) => {
  const health = await connect(t, createHealthHandler(createHealthStatus([usersService])));

  await assert.rejects(
    health.check({ service: "users.v1.Nothing" }),
    (error) => error instanceof ConnectError && error.code === Code.NotFound,
  );
});

test("List has the server and each service", async (t) => {
  const status = createHealthStatus([usersService]);
  const health = await connect(t, createHealthHandler(status));

  for (const [isServing, expected] of [
    [false, NOT_SERVING],
    [true, SERVING],
  ] as const) {
    status.set(isServing);
    const { statuses } = await health.list({});
    assert.deepEqual(Object.keys(statuses).sort(), ["", usersService]);
    for (const each of Object.values(statuses)) assert.equal(each.status, expected);
  }
});

test("Watch sends the present status, then each change, and never the same one twice in a row", async (t) => {
  const status = createHealthStatus([usersService]);
  const health = await connect(t, createHealthHandler(status));
  const stream = health.watch({ service: usersService })[Symbol.asyncIterator]();

  assert.equal(await nextStatus(stream), NOT_SERVING);
  status.set(false);
  status.set(true);
  assert.equal(await nextStatus(stream), SERVING);
  status.set(true);
  status.set(false);
  assert.equal(await nextStatus(stream), NOT_SERVING);
});

test("every watcher sees a change", async (t) => {
  const status = createHealthStatus([usersService]);
  const health = await connect(t, createHealthHandler(status));
  const streams = ["", usersService, usersService].map((service) =>
    health.watch({ service })[Symbol.asyncIterator](),
  );

  for (const stream of streams) assert.equal(await nextStatus(stream), NOT_SERVING);
  status.set(true);
  for (const stream of streams) assert.equal(await nextStatus(stream), SERVING);
});

test("a change while the watcher is busy is sent next; one that was taken back before it looked is not", async () => {
  const status = createHealthStatus([]);
  const { cancel, stream } = watchDirectly(status);
  assert.equal(await nextStatus(stream), NOT_SERVING);

  status.set(true);
  assert.equal(await nextStatus(stream), SERVING);

  status.set(false);
  status.set(true);
  const next = nextStatus(stream);
  status.set(false);
  status.set(true);
  // Lets the watcher, which was woken, look.
  await setImmediate();
  status.set(false);
  assert.equal(await next, NOT_SERVING);
  cancel.abort();
});

test("Watch of an unknown service says so once and stays open", async (t) => {
  const status = createHealthStatus([usersService]);
  const health = await connect(t, createHealthHandler(status));
  const cancel = new AbortController();
  const stream = health.watch({ service: "users.v1.Nothing" }, { signal: cancel.signal });
  const iterator = stream[Symbol.asyncIterator]();
  assert.equal(await nextStatus(iterator), SERVICE_UNKNOWN);

  let isSettled = false;
  const next = iterator.next().finally(() => {
    isSettled = true;
  });
  next.catch(() => {});
  // Whatever the server did at once would have arrived before the answers to calls made later on this connection.
  status.set(true);
  for (let round = 0; round < 3; round++) await health.check({});
  assert.equal(isSettled, false);

  cancel.abort();
  await assert.rejects(next, (error) => ConnectError.from(error).code === Code.Canceled);
});

for (const service of ["", "users.v1.Nothing"]) {
  test(`a client that goes away ends its Watch of "${service}" and leaves nothing behind`, async (t) => {
    const status = createHealthStatus([usersService]);
    const handler = createHealthHandler(status);
    const ended = Promise.withResolvers<{ error: unknown; signal: AbortSignal }>();
    const health = await connect(t, {
      ...handler,
      async *watch(request, context) {
        try {
          yield* handler.watch(request, context);
        } catch (error) {
          ended.resolve({ error, signal: context.signal });
          throw error;
        }
      },
    });
    const cancel = new AbortController();
    const stream = health.watch({ service }, { signal: cancel.signal })[Symbol.asyncIterator]();
    await nextStatus(stream);
    const next = stream.next();
    cancel.abort();
    await assert.rejects(next, (error) => ConnectError.from(error).code === Code.Canceled);

    const { error, signal } = await ended.promise;
    assert.ok(signal.aborted);
    assert.equal(error, signal.reason);
    assert.equal(status.waiterCount, 0);
  });

  test(`a shutdown ends a Watch of "${service}" with its reason`, async (t) => {
    const shutdown = new AbortController();
    const handler = createHealthHandler(createHealthStatus([usersService]));
    const health = await connect(t, handler, shutdown.signal);
    const stream = health.watch({ service })[Symbol.asyncIterator]();
    await nextStatus(stream);

    shutdown.abort(new ConnectError("shutting down", Code.Unavailable));
    await assert.rejects(
      stream.next(),
      (error) => error instanceof ConnectError && error.code === Code.Unavailable,
    );
  });
}

test("a watcher holds one listener while it waits, however many changes it has seen, and none afterwards", async () => {
  const status = createHealthStatus([]);
  const { cancel, stream } = watchDirectly(status);
  assert.equal(await nextStatus(stream), NOT_SERVING);
  for (let change = 0; change < 100; change++) {
    const next = nextStatus(stream);
    status.set(!status.isServing);
    await next;
    assert.equal(status.waiterCount, 0);
    assert.equal(getEventListeners(cancel.signal, "abort").length, 0);
  }
  const next = stream.next();
  assert.equal(status.waiterCount, 1);
  assert.equal(getEventListeners(cancel.signal, "abort").length, 1);

  const reason = new Error("the reason");
  cancel.abort(reason);
  await assert.rejects(next, (error) => error === reason);
  assert.equal(status.waiterCount, 0);
  assert.equal(getEventListeners(cancel.signal, "abort").length, 0);
});

/** A Watch without a connection, for what a client could not time. */
function watchDirectly(status: HealthStatus): {
  cancel: AbortController;
  stream: AsyncIterator<MessageInitShape<typeof HealthCheckResponseSchema>>;
} {
  const cancel = new AbortController();
  const context = createHandlerContext({
    service: Health,
    method: Health.method.watch,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://127.0.0.1/grpc.health.v1.Health/Watch",
  });
  const watch = createHealthHandler(status).watch(create(HealthCheckRequestSchema), {
    ...context,
    signal: cancel.signal,
  });
  return { cancel, stream: watch[Symbol.asyncIterator]() };
}
