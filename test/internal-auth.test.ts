import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { createInternalAuthHandler } from "../src/api-keys/internal-auth.handler.ts";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import {
  type ApiKeySystem,
  type ApiKeySystemOptions,
  anyKey,
  openApiKeySystem,
  removeApiKeys,
  warm,
} from "./support/api-key-system.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { useDatabase } from "./support/shared-database.ts";
import { openTcpProxy } from "./support/tcp-proxy.ts";
import { testConfig } from "./support/test-app.ts";

interface Served extends ApiKeySystem {
  readonly url: string;
  readonly client: Client<typeof InternalAuthService>;
  /** What has been logged, in JSON. */
  log(): string;
}

for (const backend of backends) {
  describe(`ingestion.InternalAuthService on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function serve(t: TestContext, options: ApiKeySystemOptions = {}): Promise<Served> {
      const ready = await shared.renew();
      await removeApiKeys(ready.database);
      return serveSystem(t, await openApiKeySystem(t, ready, options));
    }

    async function serveSystem(t: TestContext, system: ApiKeySystem): Promise<Served> {
      const logged: string[] = [];
      const logger = pino({ level: "warn" }, { write: (line: string) => void logged.push(line) });
      const handler = createInternalAuthHandler(system.authenticator);
      const host = await openHost({
        config: testConfig({}),
        logger,
        routes: (router) => void router.service(InternalAuthService, handler),
        health: createHealthStatus([InternalAuthService.typeName]),
      });
      cleanUpAfter(t, host.close);
      const client = createClient(InternalAuthService, createGrpcTransport({ baseUrl: host.url }));
      return { ...system, url: host.url, client, log: () => logged.join("") };
    }

    test("a good key is valid and everything else is not, over every protocol", async (t) => {
      let nowMs = Date.now();
      const { keys, url } = await serve(t, { now: () => nowMs });
      const good = await keys.create(anyKey);
      const revoked = await keys.create(anyKey);
      const expired = await keys.create({ ...anyKey, timeToLiveMs: 1_000 });
      const rotated = await keys.create(anyKey);
      const inGrace = await keys.create(anyKey);
      await keys.revoke(revoked.key.id);
      const successor = await keys.rotate(rotated.key.id, { graceMs: 0, createdBy: "user:1" });
      await keys.rotate(inGrace.key.id, { graceMs: 3_600_000, createdBy: "user:1" });
      nowMs += 1_000;
      for (const protocol of protocols) {
        const client = createClient(InternalAuthService, protocol.createTransport(url));
        for (const { secret } of [good, successor, inGrace]) {
          assert.equal((await client.validateApiKey({ apiKey: secret })).isValid, true);
        }
        for (const apiKey of [
          revoked.secret,
          expired.secret,
          rotated.secret,
          mintApiKey().secret,
          `${good.secret.slice(0, -1)}${good.secret.endsWith("0") ? "1" : "0"}`,
          ` ${good.secret}`,
          good.key.display,
          "",
          "startup-readiness-check",
          "ключ\0",
          "x".repeat(100_000),
        ]) {
          assert.equal((await client.validateApiKey({ apiKey })).isValid, false);
        }
      }
    });

    test("the wire is what the ingestion service was compiled against", async (t) => {
      const { keys, url } = await serve(t);
      const { secret } = await keys.create(anyKey);
      const validate = async (text: string) => {
        const response = await fetch(`${url}/ingestion.InternalAuthService/ValidateApiKey`, {
          method: "POST",
          headers: { "content-type": "application/proto" },
          body: Buffer.concat([Uint8Array.of(0x0a, text.length), Buffer.from(text)]),
        });
        assert.equal(response.status, 200);
        return Buffer.from(await response.arrayBuffer()).toString("hex");
      };
      assert.equal(await validate(secret), "0801");
      assert.equal(await validate(mintApiKey().secret), "");
      assert.equal(await validate("startup-readiness-check"), "");
    });

    test("no key is put into a URL", async (t) => {
      const { keys, url } = await serve(t);
      const { secret } = await keys.create(anyKey);
      const message = encodeURIComponent(JSON.stringify({ apiKey: secret }));
      const response = await fetch(
        `${url}/ingestion.InternalAuthService/ValidateApiKey?connect=v1&encoding=json&message=${message}`,
      );
      assert.equal(response.status, 405);
    });

    test("warm validations ask the database for nothing", async (t) => {
      const { keys, client, lookups } = await serve(t, { watch: { current: () => 1n } });
      const { secret } = await keys.create(anyKey);
      await client.validateApiKey({ apiKey: secret });
      const before = lookups.statements();
      const answers = await Promise.all(
        Array.from({ length: 500 }, () => client.validateApiKey({ apiKey: secret })),
      );
      assert.ok(answers.every(({ isValid }) => isValid));
      assert.equal(lookups.statements(), before);
    });

    for (const how of ["failing", "frozen"] as const) {
      test(`a ${how} database is INTERNAL, a second after it was last read, and no stale yes`, async (t) => {
        const { keys, client, authenticator, lookups, reads, log } = await serve(t);
        const { secret } = await keys.create(anyKey);
        await warm(authenticator, secret);
        reads.shut(how);
        lookups.shut(how);
        const shutAt = performance.now();
        for (;;) {
          const askedAt = performance.now();
          const answer = await client.validateApiKey({ apiKey: secret }).catch((error: unknown) => error);
          if (answer instanceof Error) break;
          assert.ok(askedAt - shutAt < 1_000, `a yes that was asked for ${askedAt - shutAt} ms later`);
          await setImmediate();
        }
        for (const apiKey of [secret, mintApiKey().secret]) {
          const error = await expectError(client.validateApiKey({ apiKey }, { timeoutMs: 5_000 }), {
            code: Code.Internal,
          });
          assert.match(error.rawMessage, /^internal error; request id [\w-]+$/);
        }
        assert.match(log(), /an API key could not be validated.*the database is unavailable/s);
        assert.ok(!log().includes(secret));
        for (const apiKey of ["startup-readiness-check", "", "ubk_", `${secret}x`]) {
          assert.equal((await client.validateApiKey({ apiKey })).isValid, false);
        }
        lookups.open();
        reads.open();
        assert.equal((await client.validateApiKey({ apiKey: secret })).isValid, true);
      });
    }

    if (backend.name === "postgres") {
      test("a PostgreSQL that is gone is INTERNAL, and what is good is so again when it is back", async (t) => {
        const ready = await shared.renew();
        await removeApiKeys(ready.database);
        assert.ok(ready.config.kind === "postgres");
        const direct = new URL(ready.config.url);
        const proxy = await openTcpProxy(direct.hostname, Number(direct.port));
        cleanUpAfter(t, proxy.close);
        const detour = new URL(direct);
        detour.host = `127.0.0.1:${proxy.port}`;
        const system = await openApiKeySystem(t, { ...ready, config: { ...ready.config, url: detour.href } });
        const { keys, client, authenticator, log } = await serveSystem(t, system);
        const { secret } = await keys.create(anyKey);
        await warm(authenticator, secret);
        await proxy.cut();
        const cutAt = performance.now();
        for (;;) {
          const askedAt = performance.now();
          const answer = await client.validateApiKey({ apiKey: secret }).catch((error: unknown) => error);
          if (answer instanceof Error) break;
          assert.ok(askedAt - cutAt < 1_000);
          await setImmediate();
        }
        const error = await expectError(client.validateApiKey({ apiKey: secret }), { code: Code.Internal });
        assert.doesNotMatch(error.message, /ECONN|127\.0\.0\.1|[Cc]onnection/);
        assert.match(log(), /ECONNREFUSED|Connection terminated/);
        await proxy.mend();
        assert.equal((await client.validateApiKey({ apiKey: secret })).isValid, true);
      });
    }
  });
}
