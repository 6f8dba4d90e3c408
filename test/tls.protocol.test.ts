import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { before, describe, type TestContext, test } from "node:test";
import tls, { type ConnectionOptions, type SecureVersion } from "node:tls";
import {
  type Authority,
  createAuthority,
  createTlsFiles,
  type KeyPair,
  selfSign,
} from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { connectTls, openTlsConnection, openTlsHost, visit } from "./support/tls-host.ts";
import { withDeadline } from "./support/with-deadline.ts";

describe("TLS", () => {
  let authority: Authority;
  let server: KeyPair;
  let rsaServer: KeyPair;
  let client: KeyPair;

  before(async () => {
    authority = await createAuthority("authority");
    server = await authority.issue({ commonName: "server", purpose: "server" });
    rsaServer = await selfSign({ commonName: "server", purpose: "server", isRsa: true });
    client = await authority.issue({ commonName: "client", purpose: "client" });
  });

  test("below 1.2 is refused", async (t) => {
    const { url } = await openTlsHost(t, await createTlsFiles(t, server));
    const old: ConnectionOptions = {
      ca: authority.cert,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      // OpenSSL would not even offer it.
      ciphers: "DEFAULT@SECLEVEL=0",
    };
    const { answer, code } = await visit(url, old);
    assert.equal(answer, "");
    assert.match(code ?? "", /ALERT_PROTOCOL_VERSION/);
    assert.match((await visit(url, { ...old, maxVersion: "TLSv1.2" })).answer, /200 OK/);
  });

  const weak = {
    CBC: ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"],
    "no forward secrecy": ["AES128-GCM-SHA256", "AES256-GCM-SHA384"],
    "CCM, which only small devices need": ["ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-CCM"],
  };
  for (const [title, ciphers] of Object.entries(weak)) {
    test(`a client that has nothing but ${title} is refused`, async (t) => {
      for (const pair of [server, rsaServer]) {
        const { url } = await openTlsHost(t, await createTlsFiles(t, pair));
        const { answer, code } = await visit(url, {
          ca: [authority.cert, rsaServer.cert],
          maxVersion: "TLSv1.2",
          ciphers: `${ciphers.join(":")}:@SECLEVEL=0`,
        });
        assert.equal(answer, "");
        assert.match(code ?? "", /ALERT_HANDSHAKE_FAILURE/);
      }
    });
  }

  const good = {
    "TLSv1.2": [
      "ECDHE-ECDSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES256-GCM-SHA384",
      "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
    "TLSv1.3": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
  };
  for (const [version, ciphers] of Object.entries(good)) {
    test(`${version}: of the good ciphers the client's first is taken`, async (t) => {
      const { url } = await openTlsHost(t, await createTlsFiles(t, server));
      for (const cipher of ciphers) {
        const others = ciphers.filter((other) => other !== cipher);
        const socket = await openTlsConnection(t, url, {
          ca: authority.cert,
          minVersion: version as SecureVersion,
          maxVersion: version as SecureVersion,
          ciphers: [cipher, ...others].join(":"),
        });
        assert.equal(socket.getCipher().name, cipher);
      }
    });
  }

  test("ALPN: HTTP/2 or HTTP/1.1 as the client wants, and nothing else", async (t) => {
    const { url } = await openTlsHost(t, await createTlsFiles(t, server));
    const ca = authority.cert;
    for (const protocol of ["h2", "http/1.1"]) {
      const socket = await openTlsConnection(t, url, { ca, ALPNProtocols: [protocol] });
      assert.equal(socket.alpnProtocol, protocol);
    }
    const both = await openTlsConnection(t, url, { ca, ALPNProtocols: ["http/1.1", "h2"] });
    assert.equal(both.alpnProtocol, "h2");
    const { answer, code } = await visit(url, { ca, ALPNProtocols: ["smtp"] });
    assert.equal(answer, "");
    assert.match(code ?? "", /NO_APPLICATION_PROTOCOL/);
  });

  test("nobody can renegotiate", async (t) => {
    const { url } = await openTlsHost(t, await createTlsFiles(t, server));
    const socket = await openTlsConnection(t, url, { ca: authority.cert, maxVersion: "TLSv1.2" });
    const failure = once(socket, "error");
    socket.renegotiate({}, () => {});
    const [error] = await withDeadline("the refusal", failure);
    assert.match(error.code, /NO_RENEGOTIATION/);
  });

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`${version}: no session is resumed, so that each certificate is judged anew`, async (t) => {
      const versions = { minVersion: version, maxVersion: version };
      const credentials = { ca: authority.cert, ...client, ...versions };
      assert.equal(await isResumed(t, await openUsualServer(t, server, authority), credentials), true);
      const files = await createTlsFiles(t, server, authority);
      for (const judged of [
        { clientAuth: "required", clientCaPath: files.clientCaPath },
        { clientAuth: "off" },
      ] as const) {
        const { url } = await openTlsHost(t, files, judged);
        assert.equal(await isResumed(t, url, credentials), false);
      }
    });
  }

  test("a connection that does not shake hands is closed", async (t) => {
    const { url, log } = await openTlsHost(
      t,
      await createTlsFiles(t, server),
      {},
      { tlsOptions: { handshakeTimeoutMs: 20 } },
    );
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    cleanUpAfter(t, () => void socket.destroy());
    socket.resume();
    await withDeadline("the connection's end", once(socket, "close"));
    await log.until("why", (line) => line["fault"] === "ERR_TLS_HANDSHAKE_TIMEOUT");
  });
});

/** Whether a second connection can go on with the session of a first one. */
async function isResumed(t: TestContext, url: string, options: ConnectionOptions): Promise<boolean> {
  const first = connectTls(url, options);
  cleanUpAfter(t, () => void first.destroy());
  // With TLS 1.3 it comes after the handshake.
  const [session] = await withDeadline("a session", once(first, "session"));
  const second = await openTlsConnection(t, url, { ...options, session });
  return second.isSessionReused();
}

/** A server with Node's usual settings. */
async function openUsualServer(t: TestContext, pair: KeyPair, { cert: ca }: KeyPair): Promise<string> {
  const usual = tls.createServer({ ...pair, ca, requestCert: true }, (socket) =>
    socket.on("error", () => {}),
  );
  usual.listen(0, "127.0.0.1");
  cleanUpAfter(t, () => usual.close());
  await once(usual, "listening");
  return `https://127.0.0.1:${(usual.address() as AddressInfo).port}`;
}
