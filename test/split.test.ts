import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createSuperuser, createUser, logIn, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startServerProcess } from "./support/server-process.ts";

/** The ports of the two services since before they were ours. */
const authUrl = "http://127.0.0.1:50051";
const profilesUrl = "http://127.0.0.1:50052";

// The embedded database serves one process.
for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe(`auth and profiles as two processes on the ${backend.name} database`, () => {
    test("are to their callers what one process is, and neither serves the other's calls", async (t) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const start = async (variables: Record<string, string>) => {
        const process = await startServerProcess({ ...database.variables, ...variables });
        cleanUpAfter(t, async () => void (await process.stop("SIGTERM")));
        return process;
      };
      const authVariables = { SERVICES: "auth", LISTEN: authUrl.slice("http://".length) };
      const authProcess = await start(authVariables);
      await start({
        SERVICES: "profiles",
        AUTH_URL: authUrl,
        LISTEN: profilesUrl.slice("http://".length),
      });
      const auth = createClient(AuthService, createGrpcTransport({ baseUrl: authUrl }));
      const profiles = createClient(ProfileService, createGrpcTransport({ baseUrl: profilesUrl }));

      const { id: userId, createdAt } = await auth.createUser({
        email: "ada@example.com",
        password: "correct horse",
        fullName: "Ada Lovelace",
        isActive: true,
      });
      const profile = await profiles.updateUserProfile({ userId, displayName: "Ada" });
      assert.deepEqual(
        [profile.email, profile.fullName, profile.displayName, profile.createdAt],
        ["ada@example.com", "Ada Lovelace", "Ada", createdAt],
      );
      const { activityId } = await profiles.recordUserActivity({ userId, activityType: "login" });
      assert.equal((await profiles.getUserActivity({ userId })).activities[0]?.id, activityId);
      await auth.updateUser({ userId, fullName: "Countess of Lovelace" });
      const found = await profiles.searchUsers({ query: "countess" });
      assert.deepEqual(
        found.users.map(({ fullName, displayName }) => [fullName, displayName]),
        [["Countess of Lovelace", "Ada"]],
      );
      await expectError(profiles.getUserProfile({ userId: "01890000-0000-7000-8000-000000000000" }), {
        code: Code.NotFound,
        reason: "USER_NOT_FOUND",
      });

      for (const [service, baseUrl] of [
        [ProfileService, authUrl],
        [AuthService, profilesUrl],
      ] as const) {
        const elsewhere = createClient(service, createGrpcTransport({ baseUrl }));
        await expectError(elsewhere.healthCheck({}), { code: Code.Unimplemented });
      }
      const users = createClient(UserService, createGrpcTransport({ baseUrl: authUrl }));
      await expectError(users.getUser({ id: userId }), { code: Code.Unimplemented });

      await authProcess.stop("SIGTERM");
      await expectError(profiles.getUserProfile({ userId }, { timeoutMs: 5_000 }), {
        code: Code.Unavailable,
        reason: "AUTH_UNAVAILABLE",
      });
      assert.equal((await profiles.getUserPreferences({ userId })).theme, "system");
      await start(authVariables);
      assert.equal((await profiles.getUserProfile({ userId })).displayName, "Ada");
      assert.equal((await auth.getUser({ userId })).fullName, "Countess of Lovelace");
    });

    test("with AUTH=on, profiles shows its key to auth, and each asks its own callers", async (t) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const { superuser, user, key } = await onDatabase(database.config, async (queries) => ({
        superuser: await createSuperuser(queries),
        user: await createUser(queries),
        key: await createApiKey(queries, ["accounts:read"]),
      }));
      const start = async (variables: Record<string, string>) => {
        const process = await startServerProcess({ ...database.variables, AUTH: "on", ...variables });
        cleanUpAfter(t, async () => void (await process.stop("SIGTERM")));
        return process.url;
      };
      const url = await start({ SERVICES: "auth" });
      const split = { SERVICES: "profiles", AUTH_URL: url };
      const headers = { authorization: `Bearer ${await logIn(url, user)}` };
      const connect = (baseUrl: string) => createClient(ProfileService, createGrpcTransport({ baseUrl }));

      const profiles = connect(await start({ ...split, AUTH_API_KEY: key.secret }));
      const profile = await profiles.getUserProfile({ userId: user.id }, { headers });
      assert.equal(profile.email, user.email);
      await expectError(profiles.getUserProfile({ userId: superuser.id }, { headers }), {
        code: Code.PermissionDenied,
        reason: "PERMISSION_MISSING",
      });
      await expectError(profiles.getUserProfile({ userId: user.id }), {
        code: Code.Unauthenticated,
        reason: "CREDENTIAL_MISSING",
      });

      const keyless = connect(await start(split));
      await expectError(keyless.getUserProfile({ userId: user.id }, { headers }), { code: Code.Internal });
    });
  });
}
