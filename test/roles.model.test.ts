import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  RoleBuiltInError,
  RoleExistsError,
  RoleImpliedError,
  RoleNotFoundError,
} from "../src/access/role.errors.ts";
import { UserNotFoundError } from "../src/users/user.errors.ts";
import {
  type AccessSystem,
  auditRoles,
  checkRoleEvents,
  openAccessSystems,
  readEventTypes,
} from "./support/access-system.ts";
import { backends } from "./support/databases.ts";
import { createRoleModel, type RoleModel } from "./support/role-model.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 runs everything ten times as long. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const roleNames = ["user", "admin", "editor", "writer", "auditor"] as const;
const permissions = ["read", "write", "delete", "posts:write"] as const;
const refusals = [RoleBuiltInError, RoleExistsError, RoleImpliedError, RoleNotFoundError, UserNotFoundError];

/** Something to do, to the service and to the model. */
interface Operation {
  readonly label: string;
  readonly run: (system: AccessSystem) => Promise<unknown>;
  /** @returns the error's name, or how many events it is */
  readonly expect: (model: RoleModel) => string | number;
}

function draw(random: SeededRandom, userIds: readonly [string, ...string[]]): Operation {
  const name = random.pick(roleNames);
  const permission = random.pick(permissions);
  const userId = random.pick(userIds);
  const operations: [Operation, ...Operation[]] = [
    {
      label: `create ${name}`,
      run: ({ roles }) => roles.create({ name, description: "", permissions: [permission] }),
      expect: (model) => model.create(name, permission),
    },
    {
      label: `delete ${name}`,
      run: ({ roles }) => roles.delete(name),
      expect: (model) => model.delete(name),
    },
    {
      label: `grant ${permission} to ${name}`,
      run: ({ roles }) => roles.grantPermission(name, permission),
      expect: (model) => model.grant(name, permission),
    },
    {
      label: `revoke ${permission} of ${name}`,
      run: ({ roles }) => roles.revokePermission(name, permission),
      expect: (model) => model.revoke(name, permission),
    },
    ...[1, 2, 3].map(() => ({
      label: `assign ${name} to ${userId}`,
      run: ({ roles }: AccessSystem) => roles.assign(userId, name),
      expect: (model: RoleModel) => model.assign(userId, name),
    })),
    {
      label: `unassign ${name} of ${userId}`,
      run: ({ roles }) => roles.unassign(userId, name),
      expect: (model) => model.unassign(userId, name),
    },
  ];
  const deletion: Operation = {
    label: `remove the user ${userId}`,
    run: ({ users }) => users.delete(userId),
    expect: (model) => model.removeUser(userId),
  };
  return random.oneIn(25) ? deletion : random.pick(operations);
}

async function addUsers(system: AccessSystem): Promise<[string, ...string[]]> {
  const ids: [string, ...string[]] = [await system.addUser(true)];
  for (let index = 0; index < 5; index++) ids.push(await system.addUser());
  return ids;
}

for (const backend of backends) {
  describe(`random changes of roles on the ${backend.name} database`, { timeout: 300_000 * scale }, () => {
    const shared = useDatabase(backend, auditRoles);

    test("one after the other do what a plain model does, each real change being one event", (t) =>
      withSeed(async (random) => {
        const [system] = await openAccessSystems(t, shared, 1, 2);
        const userIds = await addUsers(system);
        const model = createRoleModel(userIds, userIds[0]);
        let events = (await readEventTypes(system.database)).length;
        for (let count = 0; count < 150 * scale; count++) {
          const operation = draw(random, userIds);
          const expected = operation.expect(model);
          const error = await operation.run(system).then(
            () => undefined,
            (failure: unknown) => failure,
          );
          assert.equal(
            error === undefined ? undefined : (error as Error).name,
            typeof expected === "string" ? expected : undefined,
            operation.label,
          );
          events += typeof expected === "number" ? expected : 0;
          assert.equal((await readEventTypes(system.database)).length, events, operation.label);
          await checkState(system, model, userIds, operation.label);
        }
        await checkRoleEvents(system.database);
      }));

    test("at once, from two processes, never block each other for good, and each is one event", (t) =>
      withSeed(async (random) => {
        const systems = await openAccessSystems(t, shared, 2, 2);
        const [system] = systems;
        const userIds = await addUsers(system);
        const actors = Array.from({ length: 8 }, async (_, index) => {
          const mine = random.fork();
          for (let count = 0; count < 25 * scale; count++) {
            const { run, label } = draw(mine, userIds);
            await run(systems[index % 2] ?? system).catch((error: unknown) => {
              assert.ok(
                refusals.some((refusal) => error instanceof refusal),
                `${label}: ${String(error)}`,
              );
            });
          }
        });
        await withDeadline("the end of all operations", Promise.all(actors), 120_000 * scale);
        await checkRoleEvents(system.database);
      }));
  });
}

async function checkState(
  { roles }: AccessSystem,
  model: RoleModel,
  userIds: readonly string[],
  label: string,
): Promise<void> {
  const listed = await roles.list();
  assert.deepEqual(
    listed.map((role) => [role.name, role.permissions]),
    model.list(),
    label,
  );
  const found = await Promise.allSettled(userIds.map((id) => roles.getUserRoles(id)));
  assert.deepEqual(
    found.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : undefined)),
    userIds.map((id) => model.userRoles(id)),
    label,
  );
}
