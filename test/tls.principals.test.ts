import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { createAuthority, createTlsFiles, type KeyPair } from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createSuperuser, logIn, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const edgeId = "spiffe://prod/ns/shop/sa/edge";

/** A program that asks who calls, over TLS, where certificates are optional and one is somebody's. */
async function openApp(t: TestContext, lane: "on" | "off") {
  const [embedded] = backends;
  assert.ok(embedded);
  const directory = await mkdtemp(join(tmpdir(), "user-bridge-principals-"));
  cleanUpAfter(t, () => rm(directory, { recursive: true }));
  const clientPrincipalsPath = join(directory, "principals.json");
  const publish = (...principals: object[]): Promise<void> =>
    writeFile(clientPrincipalsPath, JSON.stringify({ principals }));
  await publish({ name: "edge", uri: edgeId, permissions: ["users:read", "events:read"] });
  const authority = await createAuthority("authority");
  const server = await authority.issue({ commonName: "server", purpose: "server" });
  const { certPath, keyPath, clientCaPath } = await createTlsFiles(t, server, authority);
  const database = await embedded.create();
  cleanUpAfter(t, database.drop);
  const superuser = await onDatabase(database.config, createSuperuser);
  const config = testConfig({
    database: database.config,
    auth: "on",
    lane,
    clientPrincipalsPath,
    tls: { certPath, keyPath, clientCaPath, clientSpkiPins: [], clientAuth: "optional" },
  });
  const app = await startApp(config, testLogger);
  cleanUpAfter(t, app.close);
  const ca = authority.cert;

  function connect(pair?: KeyPair): Transport[] {
    const options = { baseUrl: app.url, nodeOptions: { ca, ...pair } };
    return [createGrpcTransport(options), createConnectTransport({ ...options, httpVersion: "1.1" })];
  }
  return { app, superuser, authority, connect, publish };
}

describe("whose a client certificate is", () => {
  for (const lane of ["on", "off"] as const) {
    test(`lane ${lane}: decides what its calls may do, unless they have a credential of their own`, async (t) => {
      const { app, superuser, authority, connect } = await openApp(t, lane);
      const edge = await authority.issue({ uris: [edgeId] });
      const other = await authority.issue({ uris: ["spiffe://prod/ns/shop/sa/other"] });
      const headers = {
        authorization: `Bearer ${await logIn(app.url, superuser, { ca: authority.cert })}`,
      };
      for (const transport of connect(edge)) {
        const users = createClient(UserService, transport);
        await users.listUsers({});
        const refusal = await expectError(users.deleteUser({ id: superuser.id }), {
          code: Code.PermissionDenied,
          reason: "PERMISSION_MISSING",
        });
        assert.match(refusal.message, /users:delete/);
        await expectError(users.deleteUser({ id: crypto.randomUUID() }, { headers }), {
          code: Code.NotFound,
        });
        await expectError(users.listUsers({}, { headers: { "x-api-key": "ubk_none" } }), {
          code: Code.Unauthenticated,
          reason: "CREDENTIAL_INVALID",
        });
      }
      for (const transport of [...connect(other), ...connect()]) {
        const users = createClient(UserService, transport);
        await expectError(users.listUsers({}), {
          code: Code.Unauthenticated,
          reason: "CREDENTIAL_MISSING",
        });
        await users.listUsers({}, { headers });
      }
    });
  }

  test("ends with the file that says so, on open connections and in mid-stream too", async (t) => {
    const { authority, connect, publish } = await openApp(t, "on");
    const [transport] = connect(await authority.issue({ uris: [edgeId] }));
    assert.ok(transport);
    const users = createClient(UserService, transport);
    const opened = Promise.withResolvers<void>();
    const events = users.streamUserEvents({}, { onHeader: () => opened.resolve() });
    const ended = expectError(drain(events), { code: Code.Unauthenticated, reason: "CREDENTIAL_ENDED" });
    await opened.promise;
    await publish({ name: "other", dns: "other.internal", permissions: [] });
    await withDeadline("the stream's end", ended);
    await expectError(users.listUsers({}), { code: Code.Unauthenticated });
  });
});

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}
