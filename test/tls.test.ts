import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { startTestApp } from "./support/test-app.ts";

/** A certificate for 127.0.0.1 that also signs itself, so that it is its own authority. */
async function createCertificate(directory: string, name: string) {
  const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
  });
  const certPath = join(directory, `${name}.crt`);
  const keyPath = join(directory, `${name}.key`);
  await writeFile(certPath, cert);
  await writeFile(keyPath, key);
  return { cert, key, certPath, keyPath };
}

describe("with TLS", () => {
  const [embedded] = backends;
  assert.ok(embedded);

  test("one port serves every protocol and HTTP version by ALPN, and asks for the client's certificate", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "user-bridge-tls-"));
    t.after(() => rm(directory, { recursive: true }));
    const server = await createCertificate(directory, "server");
    const known = await createCertificate(directory, "known");
    const stranger = await createCertificate(directory, "stranger");
    const app = await startTestApp((cleanUp) => t.after(cleanUp), embedded, {
      tls: { certPath: server.certPath, keyPath: server.keyPath, clientCaPath: known.certPath },
    });
    assert.match(app.url, /^https:/);

    function createTransports(options: { ca: string; cert?: string; key?: string }) {
      const nodeOptions = options;
      return [
        createConnectTransport({ baseUrl: app.url, httpVersion: "1.1", nodeOptions }),
        createConnectTransport({ baseUrl: app.url, httpVersion: "2", nodeOptions }),
        createGrpcWebTransport({ baseUrl: app.url, httpVersion: "1.1", nodeOptions }),
        createGrpcWebTransport({ baseUrl: app.url, httpVersion: "2", nodeOptions }),
        createGrpcTransport({ baseUrl: app.url, nodeOptions }),
      ];
    }

    for (const [index, transport] of createTransports({
      ca: server.cert,
      cert: known.cert,
      key: known.key,
    }).entries()) {
      const client = createClient(UserService, transport);
      const username = `user${index}`;
      await client.registerUser({ email: `${username}@example.com`, username });
      assert.equal((await client.getUser({ username })).user?.username, username);
    }
    for (const options of [
      { ca: server.cert },
      { ca: server.cert, cert: stranger.cert, key: stranger.key },
    ]) {
      for (const transport of createTransports(options)) {
        const client = createClient(UserService, transport);
        // How the client words it differs by version; what counts is that no answer came over the wire.
        await assert.rejects(
          client.getUser({ username: "user0" }),
          (error) => error instanceof ConnectError && !error.isWireError,
        );
      }
    }
  });
});
