import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { NoWayInError } from "../src/access/way-in.ts";
import { startApp } from "../src/app.ts";
import type { Config } from "../src/platform/config.ts";
import { createLogger } from "../src/platform/logger.ts";
import type { Database } from "../src/schema.ts";
import { bearer, callAs } from "./support/callers.ts";
import { createAuthority, createTlsFiles } from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createSuperuser, createUser, logIn, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startTestApp, testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

async function start(t: TestContext, config: Config) {
  const app = await startApp(config, createLogger(config));
  cleanUpAfter(t, app.close);
  return app;
}

for (const backend of backends) {
  describe(`a process on the ${backend.name} database`, () => {
    const ended = new Date(Date.now() - 60_000);

    for (const { what, makeNone, makeOne } of [
      {
        what: "an API key",
        makeNone: async (database: Database) => {
          await createApiKey(database, ["users:read"], ended);
          const { id } = await createApiKey(database, ["users:read"]);
          await sql`update api_keys set revoked_at = now() where id = ${id}`.execute(database);
        },
        makeOne: (database: Database) => createApiKey(database, []),
      },
      {
        what: "a superuser with a password",
        makeNone: async (database: Database) => {
          await createUser(database, ["users:read"]);
          const inactive = await createSuperuser(database);
          await sql`update users set is_active = false where id = ${inactive.id}`.execute(database);
          const mute = await createSuperuser(database);
          await sql`delete from user_passwords where user_id = ${mute.id}`.execute(database);
        },
        makeOne: createSuperuser,
      },
    ]) {
      test(`that asks who calls starts once somebody could: ${what}`, async (t) => {
        const database = await backend.create();
        cleanUpAfter(t, database.drop);
        const config = testConfig({ database: database.config, auth: "on" });
        await onDatabase(database.config, makeNone);
        await assert.rejects(startApp(config, createLogger(config)), (error) => {
          assert.ok(error instanceof NoWayInError);
          assert.match(error.message, /user-bridge api-keys create --name \S+ --scope/);
          assert.match(error.message, /user-bridge users create --superuser --email/);
          return true;
        });
        await onDatabase(database.config, makeOne as (database: Database) => Promise<unknown>);
        await start(t, config);
      });
    }

    test("that asks nobody serves whoever calls, with whatever credential", async (t) => {
      const app = await startTestApp((end) => cleanUpAfter(t, end), backend, { auth: "off" });
      for (const fields of [{}, bearer("garbage")]) {
        const caller = callAs(app.url, fields);
        await caller.users.listUsers({});
        await caller.roles.listRoles({});
      }
      await callAs(app.url, {}).accounts.createUser({
        email: "root@example.com",
        password: "correct horse",
        isActive: true,
        isSuperuser: true,
      });
    });

    test("that mounts users alone knows the tokens that another gives", {
      skip: backend.name === "embedded",
    }, async (t) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const account = await onDatabase(database.config, createSuperuser);
      const config = testConfig({ database: database.config, auth: "on" });
      const [auth, users] = [
        await start(t, { ...config, services: new Set(["auth"]) }),
        await start(t, { ...config, services: new Set(["users"]) }),
      ];
      const caller = callAs(users.url, bearer(await logIn(auth.url, account)));
      assert.equal((await caller.users.getUser({ id: account.id })).user?.id, account.id);
      await expectError(callAs(users.url, {}).users.listUsers({}), { code: Code.Unauthenticated });
    });

    test("lets a certificate in for as long as the file says so, streams too", async (t) => {
      const authority = await createAuthority("authority");
      const server = await authority.issue({ commonName: "server", purpose: "server" });
      const { certPath, keyPath, clientCaPath } = await createTlsFiles(t, server, authority);
      const directory = await mkdtemp(join(tmpdir(), "user-bridge-principals-"));
      cleanUpAfter(t, () => rm(directory, { recursive: true }));
      const clientPrincipalsPath = join(directory, "principals.json");
      const write = (principals: unknown[]) =>
        writeFile(clientPrincipalsPath, JSON.stringify({ principals }));
      const edge = { name: "edge", uri: "spiffe://prod/edge", permissions: ["events:read", "users:read"] };
      await write([edge]);

      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const { plain, key } = await onDatabase(database.config, async (queries) => ({
        plain: await createUser(queries),
        key: (await createApiKey(queries, [])).secret,
      }));
      const app = await start(t, {
        ...testConfig({ database: database.config, auth: "on", clientPrincipalsPath }),
        tls: { certPath, keyPath, clientCaPath, clientSpkiPins: [], clientAuth: "required" },
      });
      const own = await authority.issue({ uris: ["spiffe://prod/edge"], purpose: "client" });
      const nodeOptions = { ca: authority.cert, ...own };
      const transport = createGrpcTransport({ baseUrl: app.url, nodeOptions });
      const byCertificate = callAs(app.url, {}, transport);
      await byCertificate.users.getUser({ id: plain.id });
      // A credential in the header is the call's own, also where it may less.
      const token = await logIn(app.url, plain, nodeOptions);
      for (const fields of [bearer(token), { "x-api-key": key }]) {
        const call = callAs(app.url, fields, transport).users.listUsers({});
        await expectError(call, { code: Code.PermissionDenied, reason: "PERMISSION_MISSING" });
      }
      for (const fields of [bearer("garbage"), { authorization: "" }, { "x-api-key": " " }]) {
        const call = callAs(app.url, fields, transport).users.listUsers({});
        await expectError(call, { code: Code.Unauthenticated, reason: "CREDENTIAL_INVALID" });
      }

      const stream = createClient(UserService, transport).streamUserEvents({});
      const end = (async () => {
        for await (const _ of stream);
      })();
      end.catch(() => {});
      await byCertificate.users.listUsers({});
      await write([{ ...edge, uri: "spiffe://prod/other" }]);
      const ending = expectError(end, { code: Code.Unauthenticated, reason: "CREDENTIAL_ENDED" });
      await withDeadline("the stream's end", ending, 10_000);
      await expectError(byCertificate.users.listUsers({}), {
        code: Code.Unauthenticated,
        reason: "CREDENTIAL_MISSING",
      });
    });
  });
}
