import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { createAuthority, createTlsFiles } from "./support/certificates.ts";
import { backends } from "./support/databases.ts";
import { startTestApp } from "./support/test-app.ts";

describe("with TLS", () => {
  const [embedded] = backends;
  assert.ok(embedded);

  test("one port serves every protocol and HTTP version by ALPN, and asks for the client's certificate", async (t) => {
    const authority = await createAuthority("authority");
    const known = await authority.issue({ commonName: "known", purpose: "client" });
    const stranger = await (await createAuthority("another")).issue({ commonName: "stranger" });
    const files = await createTlsFiles(
      t,
      await authority.issue({ commonName: "server", purpose: "server" }),
      authority,
    );
    const { certPath, keyPath, clientCaPath } = files;
    const app = await startTestApp((cleanUp) => t.after(cleanUp), embedded, {
      tls: { certPath, keyPath, clientCaPath, clientSpkiPins: [], clientAuth: "required" },
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
      ca: authority.cert,
      cert: known.cert,
      key: known.key,
    }).entries()) {
      const client = createClient(UserService, transport);
      const username = `user${index}`;
      await client.registerUser({ email: `${username}@example.com`, username });
      assert.equal((await client.getUser({ username })).user?.username, username);
    }
    for (const options of [
      { ca: authority.cert },
      { ca: authority.cert, cert: stranger.cert, key: stranger.key },
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
