import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { bearer, callAs } from "./support/callers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startOtlpCollector } from "./support/otlp-collector.ts";
import { startGuardedApp, testConfig } from "./support/test-app.ts";
import { traceTo } from "./support/traced-app.ts";

for (const backend of backends) {
  test(`on the ${backend.name} database, no exported byte holds what callers give or are given`, async (t) => {
    const collector = await startOtlpCollector();
    cleanUpAfter(t, collector.close);
    const { maxEventLoopDelayMs: _, ...limits } = testConfig({}).limits;
    const app = await startGuardedApp((cleanUp) => cleanUpAfter(t, cleanUp), backend, {
      limits,
      tracing: traceTo(collector),
    });
    const admin = callAs(app.url, app.headers);
    const anybody = callAs(app.url, {});

    const email = "countess@lovelace.example";
    const password = "analytical engine 1843";
    const account = { email, password, fullName: "Augusta Ada King", isActive: true };
    await admin.accounts.createUser(account);
    await expectError(admin.accounts.createUser(account), { code: Code.AlreadyExists });
    await expectError(admin.users.registerUser({ email, username: "countess" }), {
      code: Code.AlreadyExists,
    });
    const pair = await anybody.accounts.authenticate({ email, password });
    await expectError(anybody.accounts.authenticate({ email, password: `${password}!` }), {
      code: Code.Unauthenticated,
    });
    const renewed = await anybody.accounts.refreshToken({ refreshToken: pair.refreshToken });
    await anybody.accounts.validateToken({ token: renewed.accessToken });
    const { secret } = await admin.keys.createApiKey({ name: "difference", scopes: ["users:read"] });
    await callAs(app.url, bearer(secret)).users.getUser({ email });
    const wrongKey = `ubk_${"z".repeat(49)}`;
    await expectError(callAs(app.url, bearer(wrongKey)).users.getUser({ email }), {
      code: Code.Unauthenticated,
    });
    await admin.profiles.searchUsers({ query: "augusta" });
    await app.close();

    const kinds = new Set(
      collector.spans.map(({ attributes }) => attributes["user_bridge.principal.kind"] ?? "statement"),
    );
    assert.deepEqual(kinds, new Set(["anonymous", "user", "api_key", "statement"]));
    const bytes = collector.bytes().toString("latin1");
    const secrets = {
      email,
      password,
      fullName: account.fullName,
      searched: "augusta",
      username: "countess",
      adminEmail: app.superuser.email,
      adminPassword: app.superuser.password,
      adminToken: app.token,
      adminId: app.superuser.id,
      accessToken: pair.accessToken,
      refreshToken: pair.refreshToken,
      renewedAccessToken: renewed.accessToken,
      renewedRefreshToken: renewed.refreshToken,
      apiKey: secret,
      wrongKey,
      keyName: "difference",
      hash: "$argon2",
      signature: app.token.split(".")[2] ?? "",
    };
    for (const [what, text] of Object.entries(secrets)) {
      assert.ok(text.length > 5 && !bytes.includes(text), `${what} has been exported`);
    }
  });
}
