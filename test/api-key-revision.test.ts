import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createApiKeyService } from "../src/api-keys/api-key.service.ts";
import type { Database } from "../src/schema.ts";
import { auditRoles, openAccessSystems } from "./support/access-system.ts";
import { anyKey } from "./support/api-key-system.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";

async function readRevision(database: Database): Promise<bigint> {
  const { revision } = await database.selectFrom("access_head").select("revision").executeTakeFirstOrThrow();
  return revision;
}

for (const backend of backends) {
  describe(`the revision that memory of access depends on, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend, auditRoles);

    test("rises with every change of a key, a role or what it permits, and with nothing else", async (t) => {
      const [{ database, roles, users, addUser }] = await openAccessSystems(t, shared, 1);
      const keys = createApiKeyService(database, () => new Date());
      const [one, two] = [await keys.create(anyKey), await keys.create(anyKey)];
      const userId = await addUser();
      const rotation = { graceMs: 0, createdBy: "user:1" };

      const raising: [string, () => Promise<unknown>][] = [
        ["a new key", () => keys.create(anyKey)],
        ["a revocation", () => keys.revoke(one.key.id)],
        ["a rotation", () => keys.rotate(two.key.id, rotation)],
        ["a new role", () => roles.create({ name: "editor", description: "", permissions: ["posts:write"] })],
        ["a permission that is granted", () => roles.grantPermission("editor", "posts:publish")],
        ["a permission that is revoked", () => roles.revokePermission("editor", "posts:publish")],
        ["one more for a built-in role", () => roles.grantPermission("user", "posts:read")],
        ["a role's deletion", () => roles.delete("editor")],
      ];
      for (const [name, change] of raising) {
        const before = await readRevision(database);
        await change();
        assert.equal(await readRevision(database), before + 1n, name);
      }

      const before = await readRevision(database);
      await keys.revoke(one.key.id);
      await assert.rejects(keys.rotate(two.key.id, rotation));
      await assert.rejects(roles.create({ name: "user", description: "", permissions: [] }));
      await assert.rejects(roles.delete("editor"));
      await users.setActive(userId, false);
      await keys.get(one.key.id);
      assert.equal(await readRevision(database), before);
    });
  });
}
