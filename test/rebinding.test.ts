import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import type { App } from "../src/app.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { requestHttp2 } from "./support/raw-http.ts";
import { startGuardedApp, startTestApp } from "./support/test-app.ts";

const refused = { code: Code.PermissionDenied, reason: "ORIGIN_NOT_ALLOWED" };
const listPath = "/apikeys.v1.ApiKeyService/ListApiKeys";
const getPath = `${listPath}?connect=v1&encoding=json&message=%7B%7D`;
const servedHere = ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173"];
/** A page whose name leads to this machine is of the same origin as what it calls: the browser forbids it nothing. */
const servedElsewhere = ["http://evil.example:8080", "http://localhost.evil.example", "null", ""];

type Fields = Readonly<Record<string, string>>;

/** What a Connect GET that gives the server this name is answered with, over each HTTP version. */
async function getAs(url: string, host: string, fields: Fields = {}, path = getPath): Promise<string[]> {
  const call = http.get(`${url}${path}`, { headers: { ...fields, host } });
  const [answer] = (await once(call, "response")) as [http.IncomingMessage];
  const overHttp1 = `${answer.statusCode} ${await text(answer)}`;

  const session = http2.connect(url);
  const stream = session.request({ ...fields, ":path": path, ":authority": host });
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  const overHttp2 = `${headers[":status"]} ${await text(stream)}`;
  session.close();
  return [overHttp1, overHttp2];
}

async function assertGet(answers: Promise<string[]>, expected: "answered" | "refused"): Promise<void> {
  for (const answer of await answers) {
    assert.match(answer, expected === "answered" ? /^200 / : /^403 .*permission_denied.*CORS_ORIGINS/);
  }
}

/** Lets a page make a key, over every protocol. */
async function createKeys(url: string, origin: string, expected: "answered" | "refused"): Promise<void> {
  for (const { name, createTransport } of protocols) {
    const keys = createClient(ApiKeyService, createTransport(url));
    const call = keys.createApiKey({ name }, { headers: { origin } });
    if (expected === "answered") await call;
    else assert.match((await expectError(call, refused)).message, /CORS_ORIGINS/, name);
  }
}

/** Lets a page read a stream, over every protocol, and one answer. */
async function read(url: string, origin: string): Promise<void> {
  for (const { createTransport } of protocols) {
    const users = createClient(UserService, createTransport(url));
    const stream = users.streamUserEvents({}, { headers: { origin } });
    await expectError(stream[Symbol.asyncIterator]().next(), refused);
    await expectError(users.listUsers({}, { headers: { origin } }), refused);
  }
}

async function listKeys(url: string) {
  const [protocol] = protocols;
  assert.ok(protocol);
  return (await createClient(ApiKeyService, protocol.createTransport(url)).listApiKeys({})).apiKeys;
}

for (const backend of backends) {
  for (const lane of ["on", "off"] as const) {
    describe(`AUTH=off with LANE=${lane} on the ${backend.name} database`, () => {
      const cleanUps = new AsyncDisposableStack();
      let app: App;
      before(async () => {
        app = await startTestApp((end) => cleanUps.defer(end), backend, { lane });
      });
      after(() => cleanUps.disposeAsync());

      test("a page from elsewhere reads and changes nothing, whatever name it gives this machine", async () => {
        const { url } = app;
        for (const origin of servedElsewhere) await createKeys(url, origin, "refused");
        await read(url, "http://evil.example:8080");
        assert.deepEqual(await listKeys(url), []);

        const { port } = new URL(url);
        for (const host of [`evil.example:${port}`, "localhost.evil.example", "127.0.0.1.evil.example"]) {
          await assertGet(getAs(url, host), "refused");
        }
        await assertGet(getAs(url, `localhost:${port}`, { origin: "http://evil.example" }), "refused");

        const [protocol] = protocols;
        assert.ok(protocol);
        const audit = createClient(AuditService, protocol.createTransport(url));
        const entries = async () => (await audit.listAuditEntries({ outcome: "PERMISSION_DENIED" })).entries;
        while ((await entries()).length === 0);
        assert.ok((await entries()).every(({ reason }) => reason === "ORIGIN_NOT_ALLOWED"));
      });

      test("pages of this machine and whoever is no page call as before", async () => {
        const { url } = app;
        for (const origin of servedHere) await createKeys(url, origin, "answered");
        assert.equal((await listKeys(url)).length, servedHere.length * protocols.length);
        const { port } = new URL(url);
        for (const host of [`127.0.0.1:${port}`, "localhost", "LOCALHOST:1", `[::1]:${port}`]) {
          await assertGet(getAs(url, host), "answered");
        }
        const origin = "http://localhost:3000";
        await assertGet(getAs(url, "edge.example", { origin }), "answered");
        // An edge on this machine passes on the name that it was called by.
        const posted = await requestHttp2(
          url,
          listPath,
          { ":authority": "edge.example", "content-type": "application/json" },
          "{}",
        );
        assert.equal(posted.headers[":status"], 200, posted.body);
      });

      test("CORS_ORIGINS names the pages that may call, and the names that the server has for them", async (t) => {
        const corsOrigins = ["https://app.example.com", "https://other.example:8443"];
        const { url } = await startTestApp((end) => t.after(end), backend, { lane, corsOrigins });
        await createKeys(url, "https://app.example.com", "answered");
        await createKeys(url, "http://app.example.com", "refused");
        await createKeys(url, "http://localhost:3000", "refused");
        for (const host of ["app.example.com", "other.example", "other.example:8443", "127.0.0.1:1"]) {
          await assertGet(getAs(url, host), "answered");
        }
        await assertGet(getAs(url, "evil.example"), "refused");
      });

      test("CORS_ORIGINS=* lets every page call", async (t) => {
        const { url } = await startTestApp((end) => t.after(end), backend, { lane, corsOrigins: ["*"] });
        await createKeys(url, "http://evil.example:8080", "answered");
        await assertGet(getAs(url, "evil.example"), "answered");
      });

      test("no page calls the internal listener", async () => {
        const { internalUrl = "" } = app;
        for (const { createTransport } of protocols) {
          const internal = createClient(InternalAuthService, createTransport(internalUrl));
          await internal.validateApiKey({ apiKey: "x" });
          for (const origin of ["http://evil.example", "http://localhost:3000"]) {
            await expectError(internal.validateApiKey({ apiKey: "x" }, { headers: { origin } }), refused);
          }
        }
      });

      test("documents and probes stay open, as they are no calls", async () => {
        const { url } = app;
        for (const path of ["/healthz", "/readyz", "/.well-known/jwks.json"]) {
          await assertGet(getAs(url, "evil.example", { origin: "http://evil.example" }, path), "answered");
        }
      });

      test("with AUTH=on the credential decides, wherever the page is from", async (t) => {
        const { url, headers } = await startGuardedApp((end) => t.after(end), backend, { lane });
        const origin = "http://evil.example:8080";
        for (const { name, createTransport } of protocols) {
          const keys = createClient(ApiKeyService, createTransport(url));
          await keys.createApiKey({ name }, { headers: { ...headers, origin } });
          await expectError(keys.createApiKey({ name }, { headers: { origin } }), {
            code: Code.Unauthenticated,
            reason: "CREDENTIAL_MISSING",
          });
        }
        await assertGet(getAs(url, "evil.example", headers), "answered");
      });
    });
  }
}
