import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../gen/user/user_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createUser, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startServerProcess } from "./support/server-process.ts";

// The embedded database serves one process.
for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe(`profiles whose key auth refuses, on the ${backend.name} database`, () => {
    test("says in its log what to set, and to its callers no more than that it failed", async (t) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const { user, caller, poor } = await onDatabase(database.config, async (queries) => ({
        user: await createUser(queries),
        caller: await createApiKey(queries, ["profiles:read"]),
        poor: await createApiKey(queries, ["users:read"]),
      }));
      const start = async (variables: Record<string, string>) => {
        const process = await startServerProcess({ ...database.variables, AUTH: "on", ...variables });
        cleanUpAfter(t, async () => void (await process.stop("SIGTERM")));
        return process;
      };
      const { url } = await start({ SERVICES: "auth" });
      const unknown = `ubk_${"0".repeat(poor.secret.length - "ubk_".length)}`;
      for (const [key, status] of [
        [poor.secret, "PermissionDenied"],
        [unknown, "Unauthenticated"],
      ] as const) {
        const process = await start({ SERVICES: "profiles", AUTH_URL: url, AUTH_API_KEY: key });
        const profiles = createClient(UserService, createGrpcTransport({ baseUrl: process.url }));
        const headers = { authorization: `Bearer ${caller.secret}` };
        const error = await expectError(profiles.getUserProfile({ userId: user.id }, { headers }), {
          code: Code.Internal,
        });
        assert.doesNotMatch(error.message, /AUTH_API_KEY|accounts:read|credential/);
        assert.match(process.output(), new RegExp(`${status}.*AUTH_API_KEY must be .* accounts:read`));
        assert.ok(!process.output().includes(key));
      }
    });
  });
}
