import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { startServerProcess } from "./support/server-process.ts";
import { startTestApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const publicServices = [UserService, AuthService, AccessService, ApiKeyService, AuditService, ProfileService];
const someId = "01890000-0000-7000-8000-000000000000";

/** The names that a listener's reflection lists. */
async function listReflected(baseUrl: string): Promise<string[]> {
  const client = createClient(ServerReflection, createGrpcTransport({ baseUrl }));
  const request = { messageRequest: { case: "listServices" as const, value: "*" } };
  const answers = client.serverReflectionInfo(
    (async function* () {
      yield request;
    })(),
  );
  for await (const { messageResponse } of answers) {
    assert.ok(messageResponse.case === "listServicesResponse");
    return messageResponse.value.service.map(({ name }) => name).sort();
  }
  return assert.fail("no answer");
}

async function listHealth(baseUrl: string): Promise<Record<string, Status>> {
  const { statuses } = await createClient(Health, createGrpcTransport({ baseUrl })).list({});
  return Object.fromEntries(Object.entries(statuses).map(([name, { status }]) => [name, status]));
}

const serving = (...names: string[]) => Object.fromEntries(names.map((name) => [name, Status.SERVING]));

for (const backend of backends) {
  describe(`the two listeners on the ${backend.name} database`, () => {
    async function start(t: TestContext, overrides: Parameters<typeof startTestApp>[2] = {}) {
      const app = await startTestApp((cleanUp) => cleanUpAfter(t, cleanUp), backend, overrides);
      return { url: app.url, internalUrl: app.internalUrl ?? assert.fail("no internal listener") };
    }

    test("neither serves, lists or describes what is the other's, over any protocol", async (t) => {
      const { url, internalUrl } = await start(t, { reflection: true });
      for (const { name, createTransport } of protocols) {
        const internal = createClient(InternalAuthService, createTransport(internalUrl));
        const { isValid } = await internal.validateApiKey({ apiKey: "startup-readiness-check" });
        assert.equal(isValid, false, name);
        const misplaced = createClient(InternalAuthService, createTransport(url));
        await expectError(misplaced.validateApiKey({ apiKey: "x" }), { code: Code.Unimplemented });

        const transport = createTransport(internalUrl);
        const calls = [
          createClient(UserService, transport).getUser({ id: someId }),
          createClient(AuthService, transport).authenticate({ email: "a@b.example", password: "12345678" }),
          createClient(AccessService, transport).listRoles({}),
          createClient(ApiKeyService, transport).listApiKeys({}),
          createClient(AuditService, transport).listAuditEntries({}),
          createClient(ProfileService, transport).getUserProfile({ userId: someId }),
        ];
        await Promise.all(calls.map((call) => expectError(call, { code: Code.Unimplemented })));
      }

      const names = publicServices.map((service) => service.typeName);
      assert.deepEqual(await listHealth(url), serving("", ...names));
      assert.deepEqual(await listHealth(internalUrl), serving("", InternalAuthService.typeName));
      const everywhere = [
        Health.typeName,
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ];
      assert.deepEqual(await listReflected(url), [...names, ...everywhere].sort());
      assert.deepEqual(
        await listReflected(internalUrl),
        [...everywhere, InternalAuthService.typeName].sort(),
      );
    });

    test("the internal one answers probes, and has no documents and no fields for pages", async (t) => {
      const { url, internalUrl } = await start(t);
      const fromPage = { headers: { origin: "http://localhost:5173" } };
      for (const path of ["/healthz", "/readyz"]) {
        const answer = await fetch(`${internalUrl}${path}`, fromPage);
        assert.equal(answer.status, 200, path);
        assert.equal(answer.headers.get("access-control-allow-origin"), null);
        const atPublic = await fetch(`${url}${path}`, fromPage);
        assert.equal(atPublic.headers.get("access-control-allow-origin"), fromPage.headers.origin);
      }
      assert.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 200);
      assert.equal((await fetch(`${internalUrl}/.well-known/jwks.json`)).status, 404);
    });

    test("without auth, the internal one has probes and health only", async (t) => {
      const { internalUrl } = await start(t, { services: new Set(["users"]) });
      assert.deepEqual(await listHealth(internalUrl), serving(""));
      const internal = createClient(InternalAuthService, createGrpcTransport({ baseUrl: internalUrl }));
      await expectError(internal.validateApiKey({ apiKey: "x" }), { code: Code.Unimplemented });
    });

    test("both drain at the end: NOT_SERVING, GOAWAY, and no connection outlives the process's close", async (t) => {
      await watchEnd(t, backend);
    });
  });
}

async function watchEnd(t: TestContext, backend: Backend): Promise<void> {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const server = await startServerProcess(database.variables);
  cleanUpAfter(t, () => server.child.kill("SIGKILL"));
  const urls = [server.url, server.internalUrl ?? assert.fail("no internal listener")];
  const ends = await Promise.all(
    urls.map(async (url) => {
      const session = http2.connect(url);
      await once(session, "remoteSettings");
      const watch = createClient(Health, createGrpcTransport({ baseUrl: url }))
        .watch({})
        [Symbol.asyncIterator]();
      assert.equal((await watch.next()).value?.status, Status.SERVING);
      return { goneAway: once(session, "goaway"), closed: once(session, "close"), next: watch.next() };
    }),
  );
  const ended = server.stop("SIGTERM");
  for (const { goneAway, closed, next } of ends) {
    assert.equal((await withDeadline("NOT_SERVING", next)).value?.status, Status.NOT_SERVING);
    await withDeadline("GOAWAY", goneAway);
    await withDeadline("the connection's end", closed);
  }
  assert.deepEqual(await withDeadline("the process", ended), { code: 0, signal: null });
}

test("INTERNAL_LISTEN=off: there is no internal listener, and the start message tells of none", async (t) => {
  const [embedded] = backends;
  assert.ok(embedded);
  const database = await embedded.create();
  cleanUpAfter(t, database.drop);
  const server = await startServerProcess({ ...database.variables, INTERNAL_LISTEN: "off" });
  cleanUpAfter(t, () => server.child.kill("SIGKILL"));
  assert.equal(server.internalUrl, undefined);
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  assert.equal((await server.stop("SIGTERM")).code, 0);
});
