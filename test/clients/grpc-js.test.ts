import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type CallOptions, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { encodeCursor } from "../../src/events/cursor.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { backends } from "../support/databases.ts";
import { openTcpProxy } from "../support/tcp-proxy.ts";
import { useTestApp } from "../support/test-app.ts";
import { withDeadline } from "../support/with-deadline.ts";
import { createUsersStub, readDetails, readEvents, type UsersStub } from "./grpc-js-client.ts";

interface User {
  readonly id: string;
  readonly email: string;
  readonly username: string;
}

function connect(t: TestContext, url: string): UsersStub {
  const users = createUsersStub(new URL(url).host);
  cleanUpAfter(t, () => users.close());
  return users;
}

function call<Response>(
  users: UsersStub,
  method: "registerUser" | "getUser" | "listUsers",
  request: object,
  options: CallOptions = { deadline: Date.now() + 30_000 },
  metadata = new Metadata(),
): Promise<Response> {
  return new Promise((resolve, reject) => {
    users[method]<Response>(request, metadata, options, (error, response) =>
      error === null && response !== undefined ? resolve(response) : reject(error),
    );
  });
}

const register = (users: UsersStub, username: string) =>
  call<User>(users, "registerUser", { email: `${username}@example.com`, username });

async function failureOf(promise: Promise<unknown>): Promise<ServiceError> {
  const failure: unknown = await withDeadline(
    "a failure",
    promise.then(
      () => assert.fail("it succeeded"),
      (error: unknown) => error,
    ),
  );
  assert.ok(failure instanceof Error && "code" in failure && "metadata" in failure, String(failure));
  return failure as ServiceError;
}

const [backend] = backends;
assert.ok(backend);

describe("a grpc-js client with stubs from the .proto files", () => {
  const app = useTestApp(backend);

  test("registers and looks up", async (t) => {
    const users = connect(t, app.url);
    const { id } = await register(users, "Ada");
    const { user } = await call<{ user: User }>(users, "getUser", { username: "ada" });
    assert.deepEqual([user.id, user.email], [id, "ada@example.com"]);
  });

  test("is told a status, and in its details the reason and each field at fault", async (t) => {
    const users = connect(t, app.url);
    await register(users, "grace");
    const taken = await failureOf(register(users, "grace"));
    assert.equal(taken.code, status.ALREADY_EXISTS);
    const [info] = readDetails(taken);
    assert.equal(info?.name, "google.rpc.ErrorInfo");
    assert.deepEqual([info.value["reason"], info.value["domain"]], ["EMAIL_TAKEN", "user-bridge"]);

    const wrong = await failureOf(call(users, "registerUser", { email: "no", username: "9" }));
    assert.equal(wrong.code, status.INVALID_ARGUMENT);
    const request = readDetails(wrong).find(({ name }) => name === "google.rpc.BadRequest");
    const violations = request?.value["fieldViolations"] as { field: string }[];
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["email", "username"],
    );
    assert.equal((await failureOf(call(users, "getUser", { username: "nobody" }))).code, status.NOT_FOUND);
  });

  test("has its deadline kept, on a call and on a stream, and then goes on", async (t) => {
    const users = connect(t, app.url);
    const late = await failureOf(call(users, "listUsers", {}, { deadline: Date.now() - 1 }));
    assert.equal(late.code, status.DEADLINE_EXCEEDED);
    const stream = readEvents(users.streamUserEvents({}, { deadline: Date.now() + 200 }));
    assert.equal((await failureOf(stream.next())).code, status.DEADLINE_EXCEEDED);
    await call(users, "listUsers", {});
  });

  test("may send metadata, text and binary, and finds that of an error", async (t) => {
    const users = connect(t, app.url);
    const metadata = new Metadata();
    metadata.set("x-request-id", "seen by the edge");
    metadata.set("trace-bin", Buffer.from([0, 255, 1]));
    await call(users, "listUsers", {}, {}, metadata);

    const foreign = encodeCursor({ databaseId: "01890000-0000-7000-8000-000000000000", revision: 1n });
    const refused = await failureOf(readEvents(users.streamUserEvents({ afterCursor: foreign })).next());
    assert.equal(refused.code, status.FAILED_PRECONDITION);
    assert.equal(readDetails(refused)[0]?.value["reason"], "CURSOR_FOREIGN");
    assert.ok(refused.metadata.get("grpc-status-details-bin").length === 1);
  });

  test("leaves a stream and resumes behind its last event", async (t) => {
    const users = connect(t, app.url);
    const stream = readEvents(users.streamUserEvents({ progressInterval: { seconds: 3600 } }));
    assert.equal((await stream.next()).type, "progress");
    await register(users, "one");
    const one = await stream.next();
    assert.deepEqual([one.type, one.payload?.username], ["user_registered", "one"]);
    stream.cancel();
    assert.equal((await failureOf(stream.next())).code, status.CANCELLED);

    await register(users, "two");
    const resumed = readEvents(users.streamUserEvents({ afterCursor: one.cursor }));
    cleanUpAfter(t, resumed.cancel);
    const two = await resumed.next();
    assert.equal(two.payload?.username, "two");
    assert.equal(BigInt(two.revision), BigInt(one.revision) + 1n);
  });

  test("hears UNAVAILABLE of a lost connection, and resumes on the same channel when it is back", async (t) => {
    const { hostname, port } = new URL(app.url);
    const proxy = await openTcpProxy(hostname, Number(port));
    cleanUpAfter(t, proxy.close);
    const users = connect(t, `http://127.0.0.1:${proxy.port}`);
    const stream = readEvents(users.streamUserEvents({ progressInterval: { seconds: 3600 } }));
    const { cursor } = await stream.next();
    await proxy.cut();
    assert.equal((await failureOf(stream.next())).code, status.UNAVAILABLE);
    await register(connect(t, app.url), "meanwhile");
    await proxy.mend();
    const patient = new Metadata({ waitForReady: true });
    const resumed = readEvents(users.streamUserEvents({ afterCursor: cursor }, patient));
    cleanUpAfter(t, resumed.cancel);
    assert.equal((await resumed.next()).payload?.username, "meanwhile");
  });
});
