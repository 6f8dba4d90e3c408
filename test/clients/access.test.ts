import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { generate } from "selfsigned";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { CredentialOptions } from "../../src/client/credential.ts";
import { Code, CredentialRefusedError, findErrorReason } from "../../src/client/exports.ts";
import { createNodeTransport, type NodeTransport } from "../../src/client/node.ts";
import { createRoundRobinTransport } from "../../src/client/round-robin.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { createApiKey } from "../support/credentials.ts";
import { backends } from "../support/databases.ts";
import { expectError } from "../support/expect-error.ts";
import { startGuardedApp, startTestApp } from "../support/test-app.ts";
import { startFollower } from "./follower.ts";

const [backend] = backends;
assert.ok(backend);

function openTransport<T extends NodeTransport>(t: TestContext, transport: T): T {
  cleanUpAfter(t, transport.close);
  return transport;
}

/** A client of each kind: fetch with both protocols, and native gRPC. */
function createClients(t: TestContext, baseUrl: string, shown: CredentialOptions) {
  const transport = openTransport(t, createNodeTransport({ baseUrl, ...shown }));
  return [
    createUserBridgeClient({ baseUrl, protocol: "connect", ...shown }),
    createUserBridgeClient({ baseUrl, protocol: "grpc-web", ...shown }),
    createUserBridgeClient({ transport }),
  ];
}

describe("clients of a server that asks who calls", () => {
  test("may what their key may, and their streams end when it is revoked", async (t) => {
    const app = await startGuardedApp(
      (end) => cleanUpAfter(t, end),
      backend,
      {},
      (database) => createApiKey(database, ["users:read", "events:read"]),
    );
    const { id, secret } = app.prepared;
    for (const client of createClients(t, app.url, {})) {
      const error = await expectError(client.listUsers({}), { code: Code.Unauthenticated });
      assert.equal(findErrorReason(error)?.reason, "CREDENTIAL_MISSING");
    }
    const clients = createClients(t, app.url, { credential: secret });
    for (const client of clients) {
      await client.listUsers({});
      const error = await expectError(client.deleteUser({ id }), { code: Code.PermissionDenied });
      assert.deepEqual(findErrorReason(error), {
        reason: "PERMISSION_MISSING",
        metadata: { permission: "users:delete" },
      });
    }

    const followers = clients.map((client) => startFollower(t, client));
    for (const follower of followers) {
      await follower.until("the stream to begin", (seen) => seen.states().includes("live"));
    }
    const transport = openTransport(
      t,
      createNodeTransport({ baseUrl: app.url, credential: () => app.token }),
    );
    await createClient(ApiKeyService, transport).revokeApiKey({ id });
    for (const follower of followers) {
      await assert.rejects(
        follower.until("the end", () => false),
        CredentialRefusedError,
      );
      assert.deepEqual(follower.states(), ["live", "reconnecting"]);
    }
  });

  test("show a certificate, over one connection or round robin", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "user-bridge-clients-"));
    cleanUpAfter(t, () => rm(folder, { recursive: true }));
    const create = async (name: string) => {
      const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
        extensions: [
          { name: "basicConstraints", cA: true },
          {
            name: "subjectAltName",
            altNames: [
              { type: 7, ip: "127.0.0.1" },
              { type: 2, value: `${name}.example.com` },
            ],
          },
        ],
      });
      const [certPath, keyPath] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
      await writeFile(certPath, cert);
      await writeFile(keyPath, key);
      return { cert, key, certPath, keyPath };
    };
    const [server, reports, stranger] = [
      await create("server"),
      await create("reports"),
      await create("stranger"),
    ];
    const clientPrincipalsPath = join(folder, "principals.json");
    const principal = { name: "reports", dns: "reports.example.com", permissions: ["users:read"] };
    await writeFile(clientPrincipalsPath, JSON.stringify({ principals: [principal] }));
    const { certPath, keyPath } = server;
    const app = await startTestApp((end) => cleanUpAfter(t, end), backend, {
      auth: "on",
      clientPrincipalsPath,
      tls: {
        certPath,
        keyPath,
        clientCaPath: reports.certPath,
        clientSpkiPins: [],
        clientAuth: "required",
      },
    });
    const open = ({ cert, key }: typeof server) =>
      [createNodeTransport, createRoundRobinTransport].map((createTransport) => {
        const tls = { ca: server.cert, cert, key };
        return createClient(UserService, openTransport(t, createTransport({ baseUrl: app.url, tls })));
      });
    for (const client of open(reports)) {
      await client.listUsers({});
      const call = client.deleteUser({ id: crypto.randomUUID() });
      await expectError(call, { code: Code.PermissionDenied, reason: "PERMISSION_MISSING" });
    }
    for (const client of open(stranger)) {
      await expectError(client.listUsers({}, { timeoutMs: 5_000 }), { code: Code.Unavailable });
    }
  });
});
