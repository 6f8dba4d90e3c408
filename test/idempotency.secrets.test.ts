import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { createLogger } from "../src/platform/logger.ts";
import { createApiKey, createSuperuser, createUser, logIn, onDatabase } from "./support/credentials.ts";
import { type Backend, backends, type TestDatabase } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { testConfig } from "./support/test-app.ts";

async function startOn(t: TestContext, backend: Backend) {
  const database = await backend.create();
  const prepared = await onDatabase(database.config, async (queries) => ({
    superuser: await createSuperuser(queries),
    user: await createUser(queries, ["users:write"]),
    apiKey: await createApiKey(queries, ["users:write"]),
  }));
  const config = testConfig({ database: database.config, auth: "on" });
  const app = await startApp(config, createLogger(config));
  t.after(async () => {
    await app.close();
    await database.drop();
  });
  return { app, database, ...prepared };
}

/** All that the two tables hold, as one text: bytes as they are and in the forms that they might be written in. */
async function readEverything({ config }: TestDatabase): Promise<string> {
  return onDatabase(config, async (queries) => {
    const texts: string[] = [];
    for (const table of ["idempotency_keys", "audit_log"]) {
      const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(table)}`.execute(queries);
      assert.ok(rows.length > 0, table);
      for (const value of rows.flatMap((row) => Object.values(row))) {
        if (value instanceof Uint8Array) {
          const bytes = Buffer.from(value);
          texts.push(bytes.toString("latin1"), bytes.toString("base64"), bytes.toString("hex"));
        } else {
          texts.push(String(value));
        }
      }
    }
    return texts.join("\n");
  });
}

for (const backend of backends) {
  test(`neither the audit log nor kept answers give a secret away, on the ${backend.name} database`, async (t) => {
    const { app, database, superuser } = await startOn(t, backend);
    const transport = createGrpcTransport({ baseUrl: app.url });
    const auth = createClient(AuthService, transport);
    const keys = createClient(ApiKeyService, transport);
    const token = await logIn(app.url, superuser);
    const idempotencyKeys: string[] = [];
    const options = () => {
      const key = randomUUID();
      idempotencyKeys.push(key);
      return { headers: { authorization: `Bearer ${token}`, "idempotency-key": key } };
    };
    const [password, later] = ["a very secret password", "another secret password"];
    const email = "ada@example.com";
    const account = await auth.createUser({ email, password, isActive: true }, options());
    await auth.updateUser({ userId: account.id, password: later }, options());
    const pair = await auth.authenticate({ email, password: later }, options());
    const refreshed = await auth.refreshToken({ refreshToken: pair.refreshToken }, options());
    const created = await keys.createApiKey({ name: "ci", scopes: ["users:read"] }, options());
    const rotation = options();
    const rotated = await keys.rotateApiKey({ id: created.apiKey?.id ?? "" }, rotation);
    // An answer with a secret is not made anew, it is unsealed.
    assert.deepEqual(await keys.rotateApiKey({ id: created.apiKey?.id ?? "" }, rotation), rotated);
    const reused = { code: Code.InvalidArgument, reason: "IDEMPOTENCY_KEY_REUSED" };
    await expectError(keys.createApiKey({ name: "other", scopes: ["users:read"] }, rotation), reused);
    await expectError(auth.createUser({ email: "bob@example.com", password }, rotation), reused);
    await app.close();

    const everything = await readEverything(database);
    const secrets = [
      password,
      later,
      token,
      pair.accessToken,
      pair.refreshToken,
      refreshed.accessToken,
      refreshed.refreshToken,
      created.secret,
      rotated.secret,
      ...idempotencyKeys,
    ];
    for (const secret of secrets) {
      assert.ok(secret.length > 15);
      for (const form of [
        secret,
        Buffer.from(secret).toString("base64"),
        Buffer.from(secret).toString("hex"),
      ]) {
        assert.ok(!everything.includes(form), `${secret} is there`);
      }
    }
    assert.ok(everything.includes(`user:${superuser.id}`));
  });

  test(`keys of different callers are different, and each is answered its own, on the ${backend.name} database`, async (t) => {
    const { app, user, apiKey, superuser } = await startOn(t, backend);
    const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
    const credentials = [
      { authorization: `Bearer ${await logIn(app.url, superuser)}` },
      { authorization: `Bearer ${await logIn(app.url, user)}` },
      { "x-api-key": apiKey.secret },
    ];
    const register = (index: number) =>
      users.registerUser(
        { email: `u${index}@example.com`, username: `user${index}` },
        { headers: { ...credentials[index], "idempotency-key": "the-same" } },
      );
    const answers = await Promise.all(credentials.map((_, index) => register(index)));
    assert.equal(new Set(answers.map(({ id }) => id)).size, credentials.length);
    // Another token of the same user is the same caller.
    credentials[1] = { authorization: `Bearer ${await logIn(app.url, user)}` };
    for (const index of credentials.keys()) assert.deepEqual(await register(index), answers[index]);
  });
}
