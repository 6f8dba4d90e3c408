import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { type AuthHandlerDependencies, createAuthHandler } from "../src/auth/auth.handler.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { withKey } from "./support/keyed-calls.ts";
import { protocols } from "./support/protocols.ts";
import { openTestHost } from "./support/server-pair.ts";
import { useDatabase } from "./support/shared-database.ts";
import {
  createTestAccount,
  openTokenSystem,
  removeSigningKeys,
  type TokenSystem,
} from "./support/token-system.ts";

const invalid = { code: Code.InvalidArgument, reason: "REFRESH_TOKEN_INVALID" };
const reused = { code: Code.InvalidArgument, reason: "IDEMPOTENCY_KEY_REUSED" };
const gRPC = protocols.find(({ name }) => name.startsWith("gRPC proto")) ?? assert.fail("no gRPC");

interface Served extends TokenSystem {
  readonly client: Client<typeof AuthService>;
  /** A family's first refresh token. */
  logIn(): Promise<string>;
}

for (const backend of backends) {
  describe(`a refresh with an idempotency key, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function serve(t: TestContext): Promise<Served> {
      const ready = await shared.renew();
      await removeSigningKeys(ready.database);
      const system = await openTokenSystem(t, ready);
      const now = () => new Date();
      const answerWrite = createAnswerWrite({ database: system.database, now });
      const handler = createAuthHandler({
        ...system,
        answerWrite,
        now,
      } as unknown as AuthHandlerDependencies);
      const url = await openTestHost(t, (router) => void router.service(AuthService, handler));
      return {
        ...system,
        client: createClient(AuthService, gRPC.createTransport(url)),
        logIn: async () => (await system.tokens.issue(await createTestAccount(system.accounts))).refreshToken,
      };
    }

    test("whose answer was lost gives the same tokens again, and its family lives", async (t) => {
      const { client, logIn } = await serve(t);
      const request = { refreshToken: await logIn() };
      const key = withKey(randomUUID());
      const first = await client.refreshToken(request, key);
      for (let round = 0; round < 3; round++)
        assert.deepEqual(await client.refreshToken(request, key), first);
      const next = await client.refreshToken({ refreshToken: first.refreshToken });
      // Even then: it is still the same call.
      assert.deepEqual(await client.refreshToken(request, key), first);
      await client.refreshToken({ refreshToken: next.refreshToken });
    });

    test("that races with itself gives all the same tokens, and its family lives", async (t) => {
      const { client, logIn } = await serve(t);
      for (let round = 0; round < 10; round++) {
        const request = { refreshToken: await logIn() };
        const key = withKey(randomUUID());
        const answers = await Promise.all(Array.from({ length: 8 }, () => client.refreshToken(request, key)));
        const [first] = answers;
        assert.ok(first);
        for (const answer of answers) assert.deepEqual(answer, first);
        await client.refreshToken({ refreshToken: first.refreshToken });
      }
    });

    test("ends the family where somebody shows the used token without that key", async (t) => {
      const { client, logIn } = await serve(t);
      for (const thief of [undefined, withKey(randomUUID())]) {
        const request = { refreshToken: await logIn() };
        const key = withKey(randomUUID());
        const first = await client.refreshToken(request, key);
        await expectError(client.refreshToken(request, thief), invalid);
        await expectError(client.refreshToken({ refreshToken: first.refreshToken }), invalid);
        // The owner's repetition says what it said, though its tokens are worth nothing now.
        assert.deepEqual(await client.refreshToken(request, key), first);
      }
    });

    test("that was another request's says so, and a used token ends its family all the same", async (t) => {
      const { client, logIn } = await serve(t);
      const key = withKey(randomUUID());
      await client.refreshToken({ refreshToken: await logIn() }, key);

      const good = { refreshToken: await logIn() };
      await expectError(client.refreshToken(good, key), reused);
      const next = await client.refreshToken(good);
      await expectError(client.refreshToken(good, key), reused);
      await expectError(client.refreshToken({ refreshToken: next.refreshToken }), invalid);
    });

    test("is a repetition for 24 hours and a replay afterwards", async (t) => {
      const { client, logIn, database } = await serve(t);
      const request = { refreshToken: await logIn() };
      const key = withKey(randomUUID());
      const first = await client.refreshToken(request, key);
      await sql`update idempotency_keys set created_at = created_at - interval '24 hours'`.execute(database);
      await expectError(client.refreshToken(request, key), invalid);
      await expectError(client.refreshToken({ refreshToken: first.refreshToken }), invalid);
    });

    test("of a token that was never good is refused each time, and keeps nothing", async (t) => {
      const { client, database } = await serve(t);
      const key = withKey(randomUUID());
      const before = await database.selectFrom("audit_log").select("id").execute();
      for (let round = 0; round < 2; round++) {
        await expectError(client.refreshToken({ refreshToken: `ubr_${"A".repeat(43)}` }, key), invalid);
      }
      const after = await database.selectFrom("audit_log").select("id").execute();
      assert.equal(after.length, before.length);
    });
  });
}
