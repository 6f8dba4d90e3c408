import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSecureServer, createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { PermissionDeniedError, UnauthenticatedError } from "../src/platform/access.errors.ts";
import { createErrorInterceptor } from "../src/server/interceptors/errors.ts";
import { createFailureTranslation } from "../src/server/interceptors/failure-translation.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { testLogger } from "./support/event-system.ts";
import { runCommand } from "./support/server-process.ts";

const goodKey = "ubk_good";

/** A server with an empty log, for which keys are good that a set has; others may read nothing. */
async function startServer(t: TestContext, keys = new Set([goodKey]), tls?: { cert: string; key: string }) {
  const shown: (string | null)[] = [];
  const names: unknown[] = [];
  function admit(header: Headers): void {
    const authorization = header.get("authorization");
    shown.push(authorization);
    if (authorization === null) throw new UnauthenticatedError("CREDENTIAL_MISSING");
    if (authorization === "Bearer ubk_poor") throw new PermissionDeniedError("events:read");
    if (!keys.has(authorization.slice("Bearer ".length)))
      throw new UnauthenticatedError("CREDENTIAL_INVALID");
  }
  const adapter = connectNodeAdapter({
    interceptors: [createErrorInterceptor(createFailureTranslation(testLogger))],
    routes: ({ rpc }) => {
      rpc(UserService.method.registerUser, async (_request, { requestHeader }) => {
        admit(requestHeader);
        return { id: "1" };
      });
      rpc(UserService.method.streamUserEvents, async function* (_request, { requestHeader }) {
        if (tls === undefined) admit(requestHeader);
        yield { type: "progress", revision: 0n, cursor: "c0" };
      });
    },
  });
  const server =
    tls === undefined
      ? createServer(adapter)
      : createSecureServer({ ...tls, ca: tls.cert, requestCert: true }, adapter);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("secureConnection", (socket: TLSSocket) => names.push(socket.getPeerCertificate().subject?.CN));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUpAfter(t, async () => {
    server.close();
    for (const session of sessions) session.destroy();
    if (server.listening) await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`, shown, names };
}

async function createFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-credentials-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true }));
  return folder;
}

describe("a command that calls a server", () => {
  test("shows the API key of the environment, or rather that of a file", async (t) => {
    const { url, shown } = await startServer(t);
    const folder = await createFolder(t);
    const keyFile = join(folder, "key");
    await writeFile(keyFile, `${goodKey}\n`);
    const csv = join(folder, "users.csv");
    await writeFile(csv, "email,username\nada@example.com,ada\n");
    for (const [args, key] of [
      [["events", "--url", url], goodKey],
      [["events", "--url", url, "--api-key-file", keyFile], "ubk_other"],
      [["import", csv, "--url", url], goodKey],
      [["import", csv, "--url", url, "--api-key-file", keyFile], ""],
    ] as const) {
      const { code, stderr } = await runCommand(args, { USER_BRIDGE_API_KEY: key });
      assert.equal(stderr, "");
      assert.equal(code, 0);
    }
    assert.deepEqual(new Set(shown), new Set([`Bearer ${goodKey}`]));
  });

  test("says what to do where the server wants a credential, another one or one with a permission", async (t) => {
    const { url } = await startServer(t);
    for (const [key, text] of [
      ["", /asks who calls: set USER_BRIDGE_API_KEY or give --api-key-file, or --cert and --key/],
      ["ubk_revoked", /refuses the credential: the credential is not valid\. .*neither revoked nor expired/],
      ["ubk_poor", /this needs the permission events:read; .*--scope events:read/],
    ] as const) {
      for (const follow of [[], ["--follow"]]) {
        const { code, stdout, stderr } = await runCommand(["events", "--url", url, ...follow], {
          USER_BRIDGE_API_KEY: key,
        });
        assert.deepEqual([code, stdout], [1, ""]);
        assert.match(stderr, new RegExp(`^user-bridge: the server at ${url} .*\n$`));
        assert.match(stderr, text);
        assert.ok(key === "" || !stderr.includes(key), stderr);
      }
    }
  });

  test("sends a key in the clear only to this machine, unless told to", async () => {
    const args = ["events", "--url", "http://192.0.2.1:1"];
    const { code, stderr } = await runCommand(args, { USER_BRIDGE_API_KEY: goodKey });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^user-bridge: a credential goes only over https .*--allow-insecure-credential is given\n$/,
    );
  });

  test("shows a client certificate", async (t) => {
    const folder = await createFolder(t);
    const { cert, private: key } = await generate([{ name: "commonName", value: "reporter" }], {
      extensions: [
        { name: "basicConstraints", cA: true },
        { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
      ],
    });
    const [certPath, keyPath] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    await writeFile(certPath, cert);
    await writeFile(keyPath, key);
    const { url, names } = await startServer(t, new Set(), { cert, key });
    const args = ["events", "--url", url, "--ca", certPath];
    assert.equal((await runCommand(args, {})).code, 1);
    const shown = await runCommand([...args, "--cert", certPath, "--key", keyPath], {});
    assert.deepEqual([shown.code, shown.stderr], [0, ""]);
    assert.deepEqual(names, ["reporter"]);
  });

  test("refuses files that it cannot use before it calls", async (t) => {
    const folder = await createFolder(t);
    const empty = join(folder, "empty");
    await writeFile(empty, "\n");
    for (const [args, text] of [
      [["--api-key-file", join(folder, "missing")], /cannot read the API key: ENOENT/],
      [["--api-key-file", empty], /there is no API key in/],
      [["--cert", empty], /--cert and --key: give both or neither/],
      [["--cert", empty, "--key", empty], /--cert needs an https URL/],
    ] as const) {
      const { code, stderr } = await runCommand(["events", "--url", "http://127.0.0.1:1", ...args], {});
      assert.equal(code, 1);
      assert.match(stderr, text);
    }
  });
});
