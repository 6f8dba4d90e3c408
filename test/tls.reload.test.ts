import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { before, describe, test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { ConfigError } from "../src/platform/config.ts";
import {
  type Authority,
  createAuthority,
  createTlsFiles,
  type KeyPair,
  selfSign,
  type TlsContents,
} from "./support/certificates.ts";
import type { LogLine } from "./support/log-lines.ts";
import { probeRoutes, probeStream } from "./support/probe-service.ts";
import { openTlsHost, visit } from "./support/tls-host.ts";
import { withDeadline } from "./support/with-deadline.ts";

const reloaded = (line: LogLine): boolean => line.msg.includes("are in force");
const kept = (line: LogLine): boolean => line.msg.includes("stays in force");

const fingerprintOf = ({ cert }: KeyPair): string => new X509Certificate(cert).fingerprint256;

describe("changed files", () => {
  let authority: Authority;
  let [old, renewed]: KeyPair[] = [];
  let ca: string;

  before(async () => {
    authority = await createAuthority("authority");
    ca = authority.cert;
    old = await authority.issue({ commonName: "server", purpose: "server" });
    renewed = await authority.issue({ commonName: "server", purpose: "server" });
  });

  function pairs(): { old: KeyPair; renewed: KeyPair } {
    assert.ok(old && renewed);
    return { old, renewed };
  }

  for (const lane of ["on", "off"] as const) {
    for (const httpVersion of ["1.1", "2"] as const) {
      test(`lane ${lane}, HTTP/${httpVersion}: a stream stays open, and a new connection sees the new certificate`, async (t) => {
        const { old, renewed } = pairs();
        const files = await createTlsFiles(t, old);
        const source = createSource();
        const { url, log } = await openTlsHost(t, files, {}, { lane, routes: probeRoutes(source) });
        const options = { baseUrl: url, nodeOptions: { ca } };
        const transport =
          httpVersion === "2"
            ? createGrpcTransport(options)
            : createConnectTransport({ ...options, httpVersion });
        // Without the lane, the header of the response goes out with the first message.
        source.send();
        const stream = await transport.stream(
          probeStream,
          AbortSignal.timeout(60_000),
          undefined,
          undefined,
          single(create(probeStream.input)),
        );
        const messages = stream.message[Symbol.asyncIterator]();
        assert.equal((await messages.next()).done, false);
        assert.equal((await visit(url, { ca })).shown, fingerprintOf(old));

        await files.publish(renewed);
        await log.until("the change", reloaded);
        const after = await visit(url, { ca });
        assert.equal(after.shown, fingerprintOf(renewed));
        assert.match(after.answer, /200 OK/);
        source.send();
        assert.equal((await messages.next()).done, false);
        source.end();
        assert.equal((await messages.next()).done, true);
      });
    }
  }

  const broken: Record<string, (renewed: KeyPair) => Partial<TlsContents> | Promise<Partial<TlsContents>>> = {
    "a certificate without its key": ({ cert }) => ({ cert }),
    "a key of another kind": async () => ({ key: (await selfSign({ isRsa: true })).key }),
    "a certificate that is written in part": ({ cert, key }) => ({ cert: cert.slice(0, 300), key }),
    "a chain that is written in part": ({ cert, key }) => ({ cert: `${cert}\n${ca.slice(0, 300)}`, key }),
    "a key that is written in part": ({ cert, key }) => ({ cert, key: key.slice(0, 100) }),
    "an empty file": () => ({ cert: "" }),
    "no file": () => ({ key: undefined }),
    "authorities that are written in part": () => ({ clientCa: `${ca}\n${ca.slice(0, 300)}` }),
    "no authorities": () => ({ clientCa: "# none\n" }),
  };
  for (const [title, breakThem] of Object.entries(broken)) {
    test(`${title}: the old ones stay, it is said once, and good files end it`, async (t) => {
      const { old, renewed } = pairs();
      const client = await authority.issue({ commonName: "client" });
      const files = await createTlsFiles(t, old, authority);
      const { url, log } = await openTlsHost(t, files, {
        clientAuth: "required",
        clientCaPath: files.clientCaPath,
      });
      await files.publish(await breakThem(renewed));
      const line = await log.until("what is wrong", kept);
      assert.match(String(line["fault"]), /tls\.(crt|key)|ca\.crt/);
      assert.doesNotMatch(String(line["fault"]), /PRIVATE|MII/);
      const during = await visit(url, { ca, ...client });
      assert.equal(during.shown, fingerprintOf(old));
      assert.match(during.answer, /200 OK/);

      await files.publish({ ...renewed, clientCa: ca });
      await log.until("the change", reloaded);
      assert.equal((await visit(url, { ca, ...client })).shown, fingerprintOf(renewed));
      assert.equal(log.lines.filter(kept).length, 1, JSON.stringify(log.lines.filter(kept)));
    });
  }

  test("files that are written one after the other, in place, are taken together", async (t) => {
    const { old, renewed } = pairs();
    const { certPath, keyPath } = await createTlsFiles(t, old);
    const { url, log } = await openTlsHost(t, { certPath, keyPath });
    await writeFile(certPath, renewed.cert);
    await writeFile(keyPath, renewed.key);
    await log.until("the change", reloaded);
    assert.equal((await visit(url, { ca })).shown, fingerprintOf(renewed));
  });

  test("other authorities decide over new connections", async (t) => {
    const { old } = pairs();
    const next = await createAuthority("the next authority");
    const [before, after] = [await authority.issue({}), await next.issue({})];
    const files = await createTlsFiles(t, old, authority);
    const { url, log } = await openTlsHost(t, files, {
      clientAuth: "required",
      clientCaPath: files.clientCaPath,
    });
    assert.match((await visit(url, { ca, ...before })).answer, /200 OK/);
    assert.equal((await visit(url, { ca, ...after })).answer, "");

    await files.publish({ clientCa: `${authority.cert}\n${next.cert}` });
    await log.until("both", () => log.lines.filter(reloaded).length === 1);
    assert.match((await visit(url, { ca, ...before })).answer, /200 OK/);
    assert.match((await visit(url, { ca, ...after })).answer, /200 OK/);

    await files.publish({ clientCa: next.cert });
    await log.until("the next one alone", () => log.lines.filter(reloaded).length === 2);
    assert.equal((await visit(url, { ca, ...before })).answer, "");
    assert.match((await visit(url, { ca, ...after })).answer, /200 OK/);
  });

  test("what is wrong at the start is said at once, all of it", async (t) => {
    const { old } = pairs();
    const files = await createTlsFiles(t, old, authority);
    await files.publish({ key: "no key", clientCa: "no authority" });
    await assert.rejects(
      openTlsHost(t, files, { clientAuth: "required", clientCaPath: files.clientCaPath }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.faults, [
          `TLS_KEY: ${files.keyPath} has no private key in PEM that can be read without a passphrase`,
          `TLS_CLIENT_CA: ${files.clientCaPath} has no certificate in PEM`,
        ]);
        return true;
      },
    );
    await files.publish({ cert: undefined });
    await assert.rejects(openTlsHost(t, files), { code: "ENOENT", path: files.certPath });
  });
});

async function* single<T>(value: T): AsyncIterable<T> {
  yield value;
}

/** A stream that sends when it is told to. */
function createSource() {
  let queued = 0;
  let isEnded = false;
  let wake = Promise.withResolvers<void>();
  const poke = (): void => wake.resolve();
  return {
    async *stream(): AsyncIterable<Message> {
      while (!isEnded || queued > 0) {
        if (queued > 0) {
          queued -= 1;
          yield create(probeStream.output);
          continue;
        }
        await withDeadline("what is to be sent", wake.promise);
        wake = Promise.withResolvers();
      }
    },
    send(): void {
      queued += 1;
      poke();
    },
    end(): void {
      isEnded = true;
      poke();
    },
  };
}
