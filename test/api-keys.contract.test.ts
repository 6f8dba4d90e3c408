import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Client, Code, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { type ApiKey, ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { createApiKeyHandler } from "../src/api-keys/api-key.handler.ts";
import { createApiKeyService } from "../src/api-keys/api-key.service.ts";
import { isApiKey } from "../src/api-keys/api-key-text.ts";
import { callScope } from "../src/platform/call-scope.ts";
import { openDatabase } from "../src/platform/database.ts";
import { migrate } from "../src/platform/migrator.ts";
import type { Principal } from "../src/platform/principal.ts";
import type { Database, Schema } from "../src/schema.ts";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { testConfig } from "./support/test-app.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const unknownId = "01890000-0000-7000-8000-000000000000";

/** What those who call in these tests may do. */
const held = ["users:read", "users:write", "events:read"];
const caller: Principal = {
  kind: "user",
  actor: "user:01890000-0000-7000-8000-00000000000a",
  credential: "token:test",
  user: undefined,
  permits: (permission) => held.includes(permission),
};

/** In the place of the door, which is no business of this slice. */
const letIn: Interceptor = (next) => (request) => {
  request.contextValues.get(callScope).principal = caller;
  return next(request);
};

for (const backend of backends) {
  describe(`apikeys.v1.ApiKeyService on the ${backend.name} database`, () => {
    const cleanUps = new AsyncDisposableStack();
    let url = "";
    let database: Database;
    before(async () => {
      const created = await backend.create();
      cleanUps.defer(created.drop);
      const opened = await openDatabase<Schema>(created.config, testLogger);
      cleanUps.defer(opened.close);
      database = opened.queries;
      await migrate(database, testLogger);
      const now = () => new Date();
      const handler = createApiKeyHandler(
        createApiKeyService(database, now),
        createAnswerWrite({ database, now }),
      );
      const host = await openHost({
        config: testConfig({}),
        logger: testLogger,
        routes: (router) => void router.service(ApiKeyService, handler),
        health: createHealthStatus([ApiKeyService.typeName]),
        access: { interceptor: letIn, admit: () => undefined },
      });
      cleanUps.defer(host.close);
      url = host.url;
    });
    after(() => cleanUps.disposeAsync());

    for (const [index, protocol] of protocols.entries()) {
      describe(protocol.name, () => {
        let client: Client<typeof ApiKeyService>;
        before(() => {
          client = createClient(ApiKeyService, protocol.createTransport(url));
        });
        const name = (text: string) => `${text} ${index}`;

        /** The key that an answer must have. */
        function keyOf(response: { apiKey?: ApiKey | undefined }): ApiKey {
          assert.ok(response.apiKey);
          return response.apiKey;
        }

        test("a key is made of what was asked for, and its secret is shown once", async () => {
          const startedAt = Date.now();
          const created = await client.createApiKey({
            name: name("new"),
            scopes: ["users:write", "events:read"],
            timeToLive: { seconds: 3_600n },
          });
          const key = keyOf(created);
          assert.ok(isApiKey(created.secret));
          assert.match(key.id, uuidV7);
          assert.deepEqual(
            [key.name, key.display, key.scopes, key.createdBy, key.replaces],
            [name("new"), created.secret.slice(0, 12), ["events:read", "users:write"], caller.actor, ""],
          );
          assert.deepEqual([key.revokedAt, key.lastUsedAt], [undefined, undefined]);
          assert.ok(key.createdAt && key.expiresAt);
          assert.ok(timestampDate(key.createdAt).getTime() >= startedAt);
          assert.equal(
            timestampDate(key.expiresAt).getTime() - timestampDate(key.createdAt).getTime(),
            3_600_000,
          );
          assert.deepEqual(keyOf(await client.getApiKey({ id: key.id.toUpperCase() })), key);
          const { apiKeys } = await client.listApiKeys({ pageSize: 1 });
          assert.deepEqual(apiKeys, [key]);
          const everlasting = keyOf(await client.createApiKey({ name: name("everlasting") }));
          assert.deepEqual([everlasting.expiresAt, everlasting.scopes], [undefined, []]);
        });

        test("pages are newest first and hold each key once", async () => {
          const ids = [];
          for (let made = 0; made < 5; made++) {
            ids.unshift(keyOf(await client.createApiKey({ name: name(`page ${made}`) })).id);
          }
          const listed: string[] = [];
          for (let pageToken = ""; listed.length < 5; ) {
            const page = await client.listApiKeys({ pageSize: 2, pageToken });
            assert.equal(page.apiKeys.length, 2);
            listed.push(...page.apiKeys.map(({ id }) => id));
            pageToken = page.nextPageToken;
          }
          // Ids of the same millisecond are in no order.
          assert.deepEqual(new Set(listed.slice(0, 5)), new Set(ids));
          const all = await client.listApiKeys({ pageSize: 1_000_000 });
          assert.equal(all.nextPageToken, "");
          for (const pageToken of ["garbage", "AgGJAAAAAAAAgAAAAAAAAAAA"]) {
            await expectError(client.listApiKeys({ pageToken }), {
              code: Code.InvalidArgument,
              reason: "PAGE_TOKEN_INVALID",
              fields: ["page_token"],
            });
          }
        });

        test("a revoked key has ended, and stays as it has ended", async () => {
          const { id } = keyOf(await client.createApiKey({ name: name("revoked") }));
          const revoked = keyOf(await client.revokeApiKey({ id }));
          assert.ok(revoked.revokedAt);
          assert.deepEqual(keyOf(await client.revokeApiKey({ id })), revoked);
          assert.deepEqual(keyOf(await client.getApiKey({ id })), revoked);
          await expectError(client.rotateApiKey({ id }), {
            code: Code.FailedPrecondition,
            reason: "API_KEY_ENDED",
          });
        });

        test("a rotated key gives its place to a new one, once, at once or after a while", async () => {
          const first = keyOf(
            await client.createApiKey({
              name: name("rotated"),
              scopes: ["users:read"],
              timeToLive: { seconds: 7_200n },
            }),
          );
          const {
            apiKey: second,
            secret,
            replaced,
          } = await client.rotateApiKey({
            id: first.id,
            gracePeriod: { seconds: 60n },
          });
          assert.ok(second && replaced?.expiresAt && second.createdAt && isApiKey(secret));
          assert.deepEqual(
            [second.name, second.scopes, second.expiresAt, second.replaces],
            [first.name, first.scopes, first.expiresAt, first.id],
          );
          assert.equal(replaced.revokedAt, undefined);
          assert.equal(
            timestampDate(replaced.expiresAt).getTime() - timestampDate(second.createdAt).getTime(),
            60_000,
          );
          assert.deepEqual(keyOf(await client.getApiKey({ id: first.id })), replaced);
          await expectError(client.rotateApiKey({ id: first.id }), {
            code: Code.FailedPrecondition,
            reason: "API_KEY_ENDED",
          });
          // A grace period that ends behind the key's own end does not prolong it.
          const long = await client.rotateApiKey({ id: second.id, gracePeriod: { seconds: 86_400n } });
          assert.deepEqual(long.replaced?.expiresAt, first.expiresAt);
          const third = keyOf(long);
          const atOnce = await client.rotateApiKey({ id: third.id });
          assert.ok(atOnce.replaced?.revokedAt);
          assert.deepEqual(atOnce.replaced.expiresAt, atOnce.replaced.revokedAt);
        });

        test("nobody gives a key what they do not hold, by a creation or a rotation", async () => {
          for (const missing of ["users:delete", "api-keys:write", "users"]) {
            const error = await expectError(
              client.createApiKey({ name: name("more"), scopes: ["users:read", missing] }),
              { code: Code.PermissionDenied, reason: "PERMISSION_MISSING" },
            );
            assert.equal(error.metadata.get("permission"), missing);
          }
          const { key } = await createApiKeyService(database, () => new Date()).create({
            name: name("somebody's"),
            scopes: ["audit:read"],
            timeToLiveMs: undefined,
            createdBy: "command:api-keys create",
          });
          await expectError(client.rotateApiKey({ id: key.id }), {
            code: Code.PermissionDenied,
            reason: "PERMISSION_MISSING",
          });
          assert.equal(keyOf(await client.getApiKey({ id: key.id })).revokedAt, undefined);
        });

        test("a key that is nobody's is NOT_FOUND", async () => {
          for (const call of [client.getApiKey, client.revokeApiKey, client.rotateApiKey]) {
            await expectError(call({ id: unknownId }), { code: Code.NotFound, reason: "API_KEY_NOT_FOUND" });
          }
        });

        test("fields that break a rule are INVALID_ARGUMENT, and named", async () => {
          const invalid = { code: Code.InvalidArgument };
          for (const [request, fields] of [
            [{ name: "" }, ["name"]],
            [{ name: "n".repeat(101) }, ["name"]],
            [{ name: "a\0b" }, ["name"]],
            [{ name: "n", scopes: ["Users"] }, ["scopes[0]"]],
            [{ name: "n", scopes: ["users:read", ""] }, ["scopes[1]"]],
            [{ name: "n", scopes: ["users:read", "users:read"] }, ["scopes"]],
            [{ name: "n", timeToLive: { seconds: 0n } }, ["time_to_live"]],
            [{ name: "n", timeToLive: { seconds: 315_576_001n } }, ["time_to_live"]],
          ] as const) {
            await expectError(
              client.createApiKey({ ...request, scopes: [...("scopes" in request ? request.scopes : [])] }),
              {
                ...invalid,
                fields,
              },
            );
          }
          for (const call of [client.getApiKey, client.revokeApiKey, client.rotateApiKey]) {
            await expectError(call({ id: "nobody" }), { ...invalid, fields: ["id"] });
          }
          await expectError(client.rotateApiKey({ id: unknownId, gracePeriod: { seconds: -1n } }), {
            ...invalid,
            fields: ["grace_period"],
          });
        });

        test("a repeated call with one idempotency key gets the first answer, secret and all, and makes no other key", async () => {
          const headers = { "idempotency-key": `create-${index}` };
          const request = { name: name("once"), scopes: ["users:read"] };
          const first = await client.createApiKey(request, { headers });
          assert.deepEqual(await client.createApiKey(request, { headers }), first);
          const { id } = keyOf(first);
          const rotation = { headers: { "idempotency-key": `rotate-${index}` } };
          const rotated = await client.rotateApiKey({ id }, rotation);
          assert.deepEqual(await client.rotateApiKey({ id }, rotation), rotated);
          await expectError(client.createApiKey({ name: name("other") }, { headers }), {
            code: Code.InvalidArgument,
            reason: "IDEMPOTENCY_KEY_REUSED",
          });
          const { rows } = await sql<{ name: string }>`
            select name from api_keys where name = ${name("once")} or name = ${name("other")}`.execute(
            database,
          );
          assert.equal(rows.length, 2);
        });
      });
    }

    test("each write leaves an entry in the audit log, without the secret", async () => {
      const client = createClient(ApiKeyService, createGrpcTransport({ baseUrl: url }));
      const created = await client.createApiKey({ name: "audited" });
      const id = created.apiKey?.id ?? "";
      const rotated = await client.rotateApiKey({ id });
      await client.revokeApiKey({ id });
      const { rows } = await sql<{ actor: string; procedure: string; entry: string }>`
        select actor, procedure, audit_log::text as entry from audit_log where subject = ${id} order by id`.execute(
        database,
      );
      assert.deepEqual(
        rows.map(({ actor, procedure }) => [actor, procedure]),
        ["CreateApiKey", "RotateApiKey", "RevokeApiKey"].map((method) => [
          caller.actor,
          `apikeys.v1.ApiKeyService/${method}`,
        ]),
      );
      for (const { entry } of rows) {
        assert.ok(!entry.includes(created.secret) && !entry.includes(rotated.secret));
      }
    });
  });
}
