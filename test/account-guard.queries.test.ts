import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { createAccountGuard } from "../src/access/account-guard.ts";
import { createRoleService } from "../src/access/role.service.ts";
import { createUserEventsHandler } from "../src/events/event.handler.ts";
import { anonymous, commandPrincipal } from "../src/platform/principal.ts";
import { policy } from "../src/policy.ts";
import { createUserHandler } from "../src/users/user.handler.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { insertAccounts } from "./support/account-targets.ts";
import { bearer, callAs } from "./support/callers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey } from "./support/credentials.ts";
import { createDatabaseGate } from "./support/database-gate.ts";
import { backends } from "./support/databases.ts";
import { openDoorSystem, openGuardedHost } from "./support/door-system.ts";
import { expectError } from "./support/expect-error.ts";
import { openTestHost } from "./support/server-pair.ts";
import { useDatabase } from "./support/shared-database.ts";
import { startTestApp } from "./support/test-app.ts";

for (const backend of backends) {
  describe(`what power over others costs, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    /** What changes users, and a count of the guard's own statements. */
    async function open(t: TestContext) {
      const system = await openDoorSystem(t, await shared.renew());
      const { database, users, log } = system;
      const now = (): Date => new Date();
      const gate = createDatabaseGate();
      const roles = createRoleService({ database: database.withPlugin(gate.plugin), log, now });
      const guard = createAccountGuard(roles);
      const answerWrite = createAnswerWrite({ database, now });
      const handler = createUserHandler(users, createUserEventsHandler(log), answerWrite, guard);
      const [id = "", ...others] = await insertAccounts(
        database,
        { permissions: ["posts:write"], isSuperuser: false },
        50,
      );
      return { ...system, guardBy: system.guard, gate, guard, id, others, handler };
    }

    test("nothing for a superuser, at the command line, and where nobody is asked", async (t) => {
      const { gate, guard, id, accounts, tokens, handler, database, guardBy } = await open(t);
      const root = await accounts.create({
        email: "root@example.com",
        fullName: "",
        isActive: true,
        isSuperuser: true,
        passwordHash: "none that anything could match",
      });
      const { accessToken } = await tokens.issue(root);
      const routes = (router: Parameters<Parameters<typeof openTestHost>[1]>[0]): void =>
        void router.service(UserService, handler);
      const guarded = await openGuardedHost(t, routes, guardBy(Object.fromEntries(policy)));
      for (const caller of [
        callAs(guarded, bearer(accessToken)),
        callAs(await openTestHost(t, routes), {}),
      ]) {
        await caller.users.deactivateUser({ id });
        await caller.users.activateUser({ id });
        await caller.users.updateUser({ user: { id, email: `${crypto.randomUUID()}@example.com` } });
      }
      await guard.assertMayChange(commandPrincipal("users"), id);
      assert.equal(gate.statements(), 0);

      const { secret } = await createApiKey(database, ["users:write", "posts:write"]);
      await callAs(guarded, bearer(secret)).users.deactivateUser({ id });
      assert.equal(gate.statements(), 1);
    });

    test("one statement for all who ask at once, none for oneself", async (t) => {
      const { gate, guard, id, others } = await open(t);
      const user = { id, email: "", username: "" };
      const caller = { ...anonymous, user, permits: (permission: string) => permission === "posts:write" };
      await guard.assertMayChange(caller, id.toUpperCase());
      assert.equal(gate.statements(), 0);
      await Promise.all(others.map((other) => guard.assertMayChange(caller, other)));
      assert.equal(gate.statements(), 1);
      await assert.rejects(guard.assertMayChange(anonymous, id), { metadata: { permission: "posts:write" } });
    });

    test("what everybody may do by the role user counts, too, and as it is right now", async (t) => {
      const { guard, database, roles } = await open(t);
      const [id = ""] = await insertAccounts(database, { permissions: [], isSuperuser: false }, 1);
      await guard.assertMayChange(anonymous, id);
      await roles.grantPermission("user", "posts:read");
      await assert.rejects(guard.assertMayChange(anonymous, id), { metadata: { permission: "posts:read" } });
      await roles.revokePermission("user", "posts:read");
      await guard.assertMayChange(anonymous, id);
    });

    test("a database that cannot say lets nobody", async (t) => {
      const { gate, guard, id } = await open(t);
      gate.shut("failing");
      await assert.rejects(guard.assertMayChange(anonymous, id), { kind: "unavailable" });
    });
  });

  describe(`a process with AUTH=off, on the ${backend.name} database`, () => {
    test("lets whoever calls change and delete a superuser", async (t) => {
      const app = await startTestApp((end) => cleanUpAfter(t, end), backend, { auth: "off" });
      const caller = callAs(app.url, {});
      for (const remove of [
        (id: string) => caller.users.deleteUser({ id }),
        (userId: string) => caller.accounts.deleteUser({ userId }),
      ]) {
        const { id } = await caller.accounts.createUser({
          email: "root@example.com",
          password: "correct horse",
          isActive: true,
          isSuperuser: true,
        });
        await caller.accounts.updateUser({ userId: id, password: "battery staple", isSuperuser: false });
        await caller.accounts.updateUser({ userId: id, isSuperuser: true, isActive: false });
        await caller.users.activateUser({ id });
        await caller.users.deactivateUser({ id });
        await caller.users.updateUser({ user: { id, username: "root" } });
        await remove(id);
        await expectError(remove(id), { code: Code.NotFound, reason: "USER_NOT_FOUND" });
      }
    });
  });
}
