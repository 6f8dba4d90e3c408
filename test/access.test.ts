import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { createAccessHandler } from "../src/access/access.handler.ts";
import { createHealthStatus } from "../src/server/health/health.status.ts";
import { openHost } from "../src/server/host.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { type AccessSystem, auditRoles, openAccessSystems, readEventTypes } from "./support/access-system.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { useDatabase } from "./support/shared-database.ts";
import { testConfig } from "./support/test-app.ts";

interface Served extends AccessSystem {
  readonly url: string;
  readonly client: Client<typeof AccessService>;
}

for (const backend of backends) {
  describe(`access.v1.AccessService on the ${backend.name} database`, () => {
    const shared = useDatabase(backend, auditRoles);

    async function serve(t: TestContext): Promise<Served> {
      const [system] = await openAccessSystems(t, shared, 1);
      const answerWrite = createAnswerWrite({ database: system.database, now: () => new Date() });
      const handler = createAccessHandler(system.roles, answerWrite);
      const host = await openHost({
        config: testConfig({}),
        logger: testLogger,
        routes: (router) => void router.service(AccessService, handler),
        health: createHealthStatus([AccessService.typeName]),
      });
      cleanUpAfter(t, host.close);
      const client = createClient(AccessService, createGrpcTransport({ baseUrl: host.url }));
      return { ...system, url: host.url, client };
    }

    test("the two built-in roles are there from the start, with the contract's permissions", async (t) => {
      const { client } = await serve(t);
      const { roles } = await client.listRoles({});
      assert.deepEqual(
        roles.map(({ name, permissions, builtIn }) => ({ name, permissions, builtIn })),
        [
          { name: "admin", permissions: ["delete", "write"], builtIn: true },
          { name: "user", permissions: ["read"], builtIn: true },
        ],
      );
    });

    test("a created role is listed, in order, with its permissions in order", async (t) => {
      const { client } = await serve(t);
      const { role } = await client.createRole({
        name: "editor",
        description: "Edits, \u{1f58a} and all.",
        permissions: ["posts:write", "posts", "posts:publish"],
      });
      assert.deepEqual(role?.permissions, ["posts", "posts:publish", "posts:write"]);
      assert.equal(role.builtIn, false);
      await client.createRole({ name: "bare" });
      const { roles } = await client.listRoles({});
      assert.deepEqual(
        roles.map(({ name }) => name),
        ["admin", "bare", "editor", "user"],
      );
      assert.deepEqual(roles[2], role);
    });

    test("a role of a taken name, built-in or not, is ALREADY_EXISTS and stays as it is", async (t) => {
      const { client } = await serve(t);
      await client.createRole({ name: "editor", description: "first", permissions: ["posts:write"] });
      const before = await client.listRoles({});
      for (const name of ["editor", "user", "admin"]) {
        await expectError(client.createRole({ name, description: "second", permissions: ["everything"] }), {
          code: Code.AlreadyExists,
          reason: "ROLE_EXISTS",
        });
      }
      assert.deepEqual(await client.listRoles({}), before);
    });

    test("a permission can be granted to any role and revoked again, as often as one likes", async (t) => {
      const { client } = await serve(t);
      await client.createRole({ name: "editor" });
      for (const name of ["editor", "user", "admin"]) {
        const { roles } = await client.listRoles({});
        const start = roles.find((role) => role.name === name)?.permissions ?? [];
        for (const _twice of [1, 2]) {
          const { role } = await client.grantPermission({ role: name, permission: "posts:write" });
          assert.deepEqual(role?.permissions, [...start, "posts:write"].sort());
        }
        for (const _twice of [1, 2]) {
          const { role } = await client.revokePermission({ role: name, permission: "posts:write" });
          assert.deepEqual(role?.permissions, start);
        }
      }
    });

    test("a built-in role loses neither itself nor what it permits from the start", async (t) => {
      const { client } = await serve(t);
      const before = await client.listRoles({});
      for (const [role, permission] of [
        ["user", "read"],
        ["admin", "write"],
        ["admin", "delete"],
      ] as const) {
        await expectError(client.revokePermission({ role, permission }), {
          code: Code.FailedPrecondition,
          reason: "ROLE_BUILT_IN",
        });
        await expectError(client.deleteRole({ name: role }), {
          code: Code.FailedPrecondition,
          reason: "ROLE_BUILT_IN",
        });
      }
      await client.revokePermission({ role: "user", permission: "write" });
      assert.deepEqual(await client.listRoles({}), before);
    });

    test("a role is assigned and taken away, with one event for each change and none for none", async (t) => {
      const { client, database, addUser } = await serve(t);
      await client.createRole({ name: "editor" });
      const [userId, chief] = [await addUser(), await addUser(true)];
      for (const _twice of [1, 2]) {
        const answer = await client.assignRole({ userId: userId.toUpperCase(), role: "editor" });
        assert.deepEqual([answer.userId, answer.roles], [userId, ["editor", "user"]]);
      }
      assert.deepEqual(await readEventTypes(database, userId), ["user_registered", "user_updated"]);
      const { roles } = await client.assignRole({ userId: chief, role: "editor" });
      assert.deepEqual(roles, ["admin", "editor", "user"]);
      for (const _twice of [1, 2]) {
        const answer = await client.unassignRole({ userId, role: "editor" });
        assert.deepEqual([answer.userId, answer.roles], [userId, ["user"]]);
      }
      assert.deepEqual(await readEventTypes(database, userId), [
        "user_registered",
        "user_updated",
        "user_updated",
      ]);
    });

    test("an implied role is neither assigned nor taken away", async (t) => {
      const { client, database, addUser } = await serve(t);
      for (const userId of [await addUser(), await addUser(true)]) {
        for (const role of ["user", "admin"]) {
          for (const change of [client.assignRole, client.unassignRole]) {
            await expectError(change({ userId, role }), {
              code: Code.FailedPrecondition,
              reason: "ROLE_IMPLIED",
            });
          }
        }
      }
      assert.deepEqual(await readEventTypes(database), ["user_registered", "user_registered"]);
    });

    test("an unknown role or user is NOT_FOUND, each with its reason", async (t) => {
      const { client, addUser } = await serve(t);
      await client.createRole({ name: "editor" });
      const [known, unknown] = [await addUser(), crypto.randomUUID()];
      for (const call of [
        () => client.deleteRole({ name: "nobody" }),
        () => client.grantPermission({ role: "nobody", permission: "read" }),
        () => client.revokePermission({ role: "nobody", permission: "read" }),
        () => client.assignRole({ userId: known, role: "nobody" }),
        () => client.unassignRole({ userId: known, role: "nobody" }),
      ]) {
        await expectError(call(), { code: Code.NotFound, reason: "ROLE_NOT_FOUND" });
      }
      for (const call of [
        () => client.assignRole({ userId: unknown, role: "editor" }),
        () => client.unassignRole({ userId: unknown, role: "editor" }),
      ]) {
        await expectError(call(), { code: Code.NotFound, reason: "USER_NOT_FOUND" });
      }
    });

    test("a deleted role is taken from everybody, with an event each, and its name is free again", async (t) => {
      const { client, database, roles, addUser } = await serve(t);
      await client.createRole({ name: "editor", permissions: ["posts:write"] });
      const [one, two, three] = [await addUser(), await addUser(), await addUser()];
      await client.assignRole({ userId: one, role: "editor" });
      await client.assignRole({ userId: two, role: "editor" });
      await client.deleteRole({ name: "editor" });
      for (const userId of [one, two, three]) {
        assert.deepEqual(await roles.getUserRoles(userId), {
          userId,
          roles: ["user"],
          permissions: ["read"],
        });
      }
      assert.deepEqual((await readEventTypes(database, one)).slice(1), ["user_updated", "user_updated"]);
      assert.deepEqual((await readEventTypes(database, three)).slice(1), []);
      await expectError(client.deleteRole({ name: "editor" }), { code: Code.NotFound });
      const { role } = await client.createRole({ name: "editor" });
      assert.deepEqual(role?.permissions, []);
    });

    test("fields that break a rule are INVALID_ARGUMENT, and all of them are named", async (t) => {
      const { client } = await serve(t);
      const userId = crypto.randomUUID();
      for (const name of ["", "Editor", "1st", "_x", "a".repeat(51), "a b", "editor\n", "\u00e9", "a\0"]) {
        await expectError(client.createRole({ name }), { code: Code.InvalidArgument, fields: ["name"] });
        await expectError(client.deleteRole({ name }), { code: Code.InvalidArgument, fields: ["name"] });
        await expectError(client.assignRole({ userId, role: name }), {
          code: Code.InvalidArgument,
          fields: ["role"],
        });
      }
      for (const permission of ["", "Read", "a::b", "a:", ":a", "a.b.c.d.e", "a\0", "read\n"]) {
        await expectError(client.grantPermission({ role: "user", permission }), {
          code: Code.InvalidArgument,
          fields: ["permission"],
        });
        await expectError(client.createRole({ name: "x", permissions: ["fine", permission] }), {
          code: Code.InvalidArgument,
          fields: ["permissions[1]"],
        });
      }
      await expectError(
        client.createRole({ name: "X", description: "d".repeat(501), permissions: ["a", "a"] }),
        {
          code: Code.InvalidArgument,
          fields: ["name", "description", "permissions"],
        },
      );
      await expectError(client.unassignRole({ userId: "somebody", role: "editor" }), {
        code: Code.InvalidArgument,
        fields: ["user_id"],
      });
    });

    test("the longest of everything is taken", async (t) => {
      const { client } = await serve(t);
      const permission = ["p".repeat(50), "q".repeat(50), "0".repeat(50), "-".repeat(50)].join(".");
      const description = "\u{1f58a}".repeat(500);
      const { role } = await client.createRole({
        name: "r".repeat(50),
        description,
        permissions: [permission],
      });
      assert.deepEqual(role?.permissions, [permission]);
      const { roles } = await client.listRoles({});
      assert.equal(roles.find(({ name }) => name === "r".repeat(50))?.description, description);
    });

    test("a description that the database cannot store is INVALID_ARGUMENT", async (t) => {
      const { client, url } = await serve(t);
      await expectError(client.createRole({ name: "editor", description: "a\0b" }), {
        code: Code.InvalidArgument,
        reason: "INVALID_INPUT",
        fields: ["description"],
      });
      // As raw JSON: a client's own library would refuse or repair half of a character.
      const response = await fetch(`${url}/access.v1.AccessService/CreateRole`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"name":"editor","description":"a\\ud800b"}',
      });
      assert.equal(response.status, 400);
      assert.match(await response.text(), /"invalid_argument".*description/s);
    });

    test("anything can be asked of it without an INTERNAL error, and names stay what they were", async (t) => {
      const { client } = await serve(t);
      await client.createRole({
        name: "constructor",
        permissions: ["__proto__".replaceAll("_", "p"), "null"],
      });
      await client.createRole({ name: "null", description: "'; drop table roles; --" });
      const { roles } = await client.listRoles({});
      assert.deepEqual(
        roles.map(({ name }) => name),
        ["admin", "constructor", "null", "user"],
      );
      await client.deleteRole({ name: "null" });
      await client.deleteRole({ name: "constructor" });
    });
  });
}
