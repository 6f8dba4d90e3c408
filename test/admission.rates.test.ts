import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import type { Config } from "../src/platform/config.ts";
import { bearer, type Caller, callAs } from "./support/callers.ts";
import { createApiKey } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { startGuardedApp, startTestApp, testConfig } from "./support/test-app.ts";

const [backend] = backends;
assert.ok(backend);

/** Three calls, and then none for as long as a test takes. */
const three = { atOnce: 3, perSecond: 0.001 };
const nobody = { email: "nobody@example.com" };

/** Calls until it is refused. @returns how often it was served, and what it was refused with */
async function callUntilRefused({ users }: Caller): Promise<{ served: number; refusal: ConnectError }> {
  for (let served = 0; ; served++) {
    assert.ok(served < 20, "the caller is never refused");
    const error = await users.getUser(nobody).then(
      () => assert.fail("there is nobody"),
      (failure: unknown) => failure,
    );
    assert.ok(error instanceof ConnectError, String(error));
    if (error.code !== Code.NotFound) return { served, refusal: error };
  }
}

function assertRateLimited(error: ConnectError, scope: "principal" | "address"): void {
  assert.equal(Code[error.code], Code[Code.ResourceExhausted]);
  const [info] = error.findDetails(ErrorInfoSchema);
  assert.equal(info?.reason, "RATE_LIMITED");
  assert.equal(info.metadata["limit_scope"], scope);
  assert.equal(info.metadata["limit"], `RATE_LIMIT_PER_${scope.toUpperCase()}`);
  // The next token comes 1000 s after the first call, and calls are told to wait a little longer, each differently.
  const seconds = Number(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds);
  assert.ok(seconds >= 900 && seconds <= 1_250, `${seconds} s`);
}

async function startLimited(t: TestContext, overrides: Partial<Config>): Promise<string> {
  const { limits } = testConfig({});
  assert.ok(backend);
  const app = await startTestApp((cleanUp) => t.after(cleanUp), backend, {
    ...overrides,
    limits: { ...limits, addressRate: three },
  });
  return app.url;
}

const from = (url: string, address: string) => callAs(url, { "x-forwarded-for": address });

for (const lane of ["on", "off"] as const) {
  describe(`rates, lane ${lane}`, () => {
    test("each address behind a proxy that is trusted has its own, and all of one IPv6 site the same", async (t) => {
      const url = await startLimited(t, { lane, trustedProxies: ["127.0.0.0/8", "::1"] });
      const first = await callUntilRefused(from(url, "203.0.113.1"));
      assert.equal(first.served, 3);
      assertRateLimited(first.refusal, "address");
      assert.equal((await callUntilRefused(from(url, "203.0.113.2"))).served, 3);
      assert.equal((await callUntilRefused(from(url, "2001:db8:0:1::1"))).served, 3);
      assert.equal((await callUntilRefused(from(url, "2001:db8:0:1:2::2"))).served, 0);
      assert.equal((await callUntilRefused(from(url, "2001:db8:0:2::1"))).served, 3);
      const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
      for (let time = 0; time < 10; time++) await health.check({});
    });

    test("whoever is no trusted proxy is counted itself, whatever addresses it writes", async (t) => {
      const url = await startLimited(t, { lane });
      assert.equal((await callUntilRefused(from(url, "203.0.113.1"))).served, 3);
      assert.equal((await callUntilRefused(from(url, "203.0.113.2"))).served, 0);
    });

    test("what is internal has no such bounds", async (t) => {
      const { limits } = testConfig({});
      assert.ok(backend);
      const narrow = { ...limits, addressRate: three, maxConcurrentCalls: 1, maxQueuedCalls: 0 };
      const app = await startTestApp((cleanUp) => t.after(cleanUp), backend, { lane, limits: narrow });
      assert.ok(app.internalUrl);
      const internal = createClient(InternalAuthService, createGrpcTransport({ baseUrl: app.internalUrl }));
      const answers = Array.from({ length: 10 }, () => internal.validateApiKey({ apiKey: "unknown" }));
      for (const { isValid } of await Promise.all(answers)) assert.equal(isValid, false);
    });

    test("each principal has its own, and who is not known has none of a principal", async (t) => {
      const { limits } = testConfig({});
      assert.ok(backend);
      const app = await startGuardedApp(
        (cleanUp) => t.after(cleanUp),
        backend,
        { lane, limits: { ...limits, principalRate: three } },
        async (database) => [
          await createApiKey(database, ["users:read"]),
          await createApiKey(database, ["users:read"]),
        ],
      );
      const [one, other] = app.prepared.map(({ secret }) => callAs(app.url, bearer(secret)));
      assert.ok(one && other);
      const { served, refusal } = await callUntilRefused(one);
      assert.equal(served, 3);
      assertRateLimited(refusal, "principal");
      assert.equal((await callUntilRefused(other)).served, 3);
      // The superuser's are counted by who it is, not by its token: a new login gives no new ones.
      assert.equal((await callUntilRefused(callAs(app.url, app.headers))).served, 3);
      for (let time = 0; time < 5; time++) {
        await assert.rejects(
          callAs(app.url, {}).accounts.authenticate({ email: "nobody@example.com", password: "wrong one" }),
          (error: ConnectError) => error.code === Code.Unauthenticated,
        );
      }
    });
  });
}
