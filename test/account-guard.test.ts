import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import type { ServiceName } from "../src/platform/config.ts";
import type { Database } from "../src/schema.ts";
import { findMissing, insertAccounts, type Power } from "./support/account-targets.ts";
import { bearer, type Caller, callAs } from "./support/callers.ts";
import { createApiKey, createSuperuser, createUser, logIn } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { type GuardedApp, startGuardedApp } from "./support/test-app.ts";

/** A way to change somebody's account. */
interface Change {
  readonly rpc: string;
  readonly service: ServiceName;
  readonly make: (caller: Caller, id: string) => Promise<unknown>;
  /** What it takes beside the RPC's own permission. */
  readonly more?: readonly string[];
}

const freshEmail = (): string => `${crypto.randomUUID()}@example.com`;

const changes = (isSuperuser: boolean): readonly Change[] => [
  {
    rpc: "users.v1 UpdateUser",
    service: "users",
    make: ({ users }, id) => users.updateUser({ user: { id, email: freshEmail() } }),
  },
  {
    rpc: "users.v1 UpdateUser in capitals",
    service: "users",
    make: ({ users }, id) => users.updateUser({ user: { id: id.toUpperCase(), email: freshEmail() } }),
  },
  { rpc: "users.v1 DeactivateUser", service: "users", make: ({ users }, id) => users.deactivateUser({ id }) },
  { rpc: "users.v1 ActivateUser", service: "users", make: ({ users }, id) => users.activateUser({ id }) },
  {
    rpc: "auth UpdateUser, password",
    service: "auth",
    make: ({ accounts }, userId) => accounts.updateUser({ userId, password: "battery staple" }),
  },
  {
    rpc: "auth UpdateUser, email",
    service: "auth",
    make: ({ accounts }, userId) =>
      accounts.updateUser({ userId: userId.toUpperCase(), email: freshEmail() }),
  },
  {
    rpc: "auth UpdateUser, is_active",
    service: "auth",
    make: ({ accounts }, userId) => accounts.updateUser({ userId, isActive: true }),
  },
  {
    rpc: "auth UpdateUser, is_superuser",
    service: "auth",
    make: ({ accounts }, userId) => accounts.updateUser({ userId, isSuperuser }),
    more: ["accounts:admin"],
  },
];

const deletions: readonly Change[] = [
  { rpc: "users.v1 DeleteUser", service: "users", make: ({ users }, id) => users.deleteUser({ id }) },
  {
    rpc: "auth DeleteUser",
    service: "auth",
    make: ({ accounts }, userId) => accounts.deleteUser({ userId }),
  },
];

/** What lets in to all of them. */
const entrance = ["users:write", "users:delete", "accounts:write", "accounts:delete"];

const callers = [[], ["accounts:admin"], ["posts:write"], ["accounts:admin", "posts:write", "a"]].map(
  (more) => [...entrance, ...more],
);

const powers: readonly Power[] = [
  { permissions: [], isSuperuser: false },
  { permissions: ["read", "write", "delete"], isSuperuser: false },
  { permissions: ["users:write", "accounts:write"], isSuperuser: false },
  { permissions: ["read", "posts:write"], isSuperuser: false },
  { permissions: ["roles:write", "posts:write", "a"], isSuperuser: false },
  { permissions: [], isSuperuser: true },
  { permissions: ["posts:write", "a"], isSuperuser: true },
];

for (const backend of backends) {
  describe(`power over others, on the ${backend.name} database`, () => {
    let app: GuardedApp<Awaited<ReturnType<typeof prepare>>>;
    let root: Caller;
    const cleanUps: (() => Promise<void>)[] = [];

    async function prepare(database: Database) {
      const cells: { held: readonly string[]; kind: "key" | "user"; power: Power; ids: readonly string[] }[] =
        [];
      const credentials = new Map<
        readonly string[],
        { user: Awaited<ReturnType<typeof createUser>>; key: string }
      >();
      for (const held of callers) {
        credentials.set(held, {
          user: await createUser(database, held),
          key: (await createApiKey(database, held)).secret,
        });
        for (const kind of ["key", "user"] as const) {
          for (const power of powers) {
            cells.push({ held, kind, power, ids: await insertAccounts(database, power, 3) });
          }
        }
      }
      return {
        cells,
        credentials,
        helpdesk: await createUser(database, ["accounts:write"]),
        deskKey: (await createApiKey(database, ["accounts:write", "accounts:delete"])).secret,
        clerk: await createUser(database, ["users:write", "users:delete"]),
        chief: await createSuperuser(database),
        mighty: await Promise.all(
          ["accounts:admin", "roles:write", "api-keys:write"].map(async (permission) => ({
            permission,
            account: await createUser(database, [permission]),
          })),
        ),
        self: await createUser(database, [...entrance, "posts:write"]),
        plain: await createUser(database),
      };
    }

    before(async () => {
      app = await startGuardedApp((cleanUp) => void cleanUps.push(cleanUp), backend, {}, prepare);
      root = callAs(app.url, app.headers);
    });
    after(async () => {
      for (const cleanUp of cleanUps.reverse()) await cleanUp();
    });

    const callerOf = async (account: Parameters<typeof logIn>[1]): Promise<Caller> =>
      callAs(app.url, bearer(await logIn(app.url, account)));

    test("who sets passwords cannot become somebody who may do more", async () => {
      const { helpdesk, mighty } = app.prepared;
      const caller = await callerOf(helpdesk);
      for (const { permission, account } of mighty) {
        await expectMissing(
          caller.accounts.updateUser({ userId: account.id, password: "battery staple" }),
          permission,
        );
        await expectMissing(
          caller.accounts.updateUser({ userId: account.id, email: freshEmail() }),
          permission,
        );
        await expectError(logIn(app.url, { email: account.email, password: "battery staple" }), {
          code: Code.Unauthenticated,
        });
        await logIn(app.url, account);
      }
    });

    test("who changes users has no power over a superuser", async () => {
      const { clerk, chief } = app.prepared;
      const caller = await callerOf(clerk);
      const { id } = chief;
      const before = await root.accounts.getUser({ userId: id });
      for (const attack of [
        () => caller.users.updateUser({ user: { id, email: freshEmail() } }),
        () => caller.users.updateUser({ user: { id, username: "nobody" } }),
        () => caller.users.deactivateUser({ id }),
        () => caller.users.activateUser({ id }),
        () => caller.users.deleteUser({ id }),
      ]) {
        await expectMissing(attack(), "accounts:admin");
      }
      assert.deepEqual(await root.accounts.getUser({ userId: id }), before);
      await logIn(app.url, chief);
    });

    test("whoever changes or deletes an account holds what it holds, by whichever RPC", async () => {
      const { cells, credentials } = app.prepared;
      const inCell = async ({ held, kind, power, ids }: (typeof cells)[number], caller: Caller) => {
        const what = `${kind} with ${held}, account with ${JSON.stringify(power)}`;
        const check = async ({ rpc, make, more }: Change, id: string): Promise<void> => {
          const missing = findMissing(held, power, more);
          if (missing === undefined) {
            await assert.doesNotReject(make(caller, id), `${rpc}, ${what}`);
          } else {
            await expectMissing(make(caller, id), missing, `${rpc}, ${what}`);
          }
        };
        const [changed = "", ...deleted] = ids;
        const before = await root.accounts.getUser({ userId: changed });
        for (const change of changes(power.isSuperuser)) await check(change, changed);
        for (const [index, deletion] of deletions.entries()) await check(deletion, deleted[index] ?? "");

        const mayChange = findMissing(held, power) === undefined;
        const now = await root.accounts.getUser({ userId: changed });
        if (mayChange) assert.notEqual(now.email, before.email, what);
        else assert.deepEqual(now, before, what);
        for (const id of deleted) {
          const look = root.users.getUser({ id });
          await (mayChange ? expectError(look, { code: Code.NotFound }) : look);
        }
      };
      await Promise.all(
        [...credentials].map(async ([held, { user, key }]) => {
          const as = { key: callAs(app.url, bearer(key)), user: await callerOf(user) };
          const theirs = cells.filter((cell) => cell.held === held);
          await Promise.all(theirs.map((cell) => inCell(cell, as[cell.kind])));
        }),
      );
    });

    test("it is no hindrance to change oneself, within what oneself may change", async () => {
      const { self, plain } = app.prepared;
      const poor = await callerOf(plain);
      await poor.accounts.updateUser({ userId: plain.id.toUpperCase(), fullName: "Plain" });
      await poor.users.updateUser({ user: { id: plain.id, username: "plain" } });
      await expectMissing(poor.accounts.updateUser({ userId: plain.id, isActive: true }), "accounts:write");
      await expectMissing(
        poor.accounts.updateUser({ userId: plain.id, isActive: true, isSuperuser: true }),
        "accounts:admin",
      );

      const caller = await callerOf(self);
      await caller.accounts.updateUser({ userId: self.id, isActive: true, email: freshEmail() });
      await caller.users.activateUser({ id: self.id });
      await expectMissing(
        caller.accounts.updateUser({ userId: self.id, isSuperuser: true }),
        "accounts:admin",
      );
      await caller.users.deleteUser({ id: self.id });
    });

    test("a superuser changes and deletes whomever", async () => {
      const { chief, mighty } = app.prepared;
      for (const { account } of mighty) {
        await root.users.deactivateUser({ id: account.id });
        await root.users.activateUser({ id: account.id });
        await root.accounts.deleteUser({ userId: account.id });
      }
      await root.users.updateUser({ user: { id: chief.id, username: "chief" } });
      await root.accounts.updateUser({ userId: chief.id, isSuperuser: false });
      await root.accounts.updateUser({ userId: chief.id, isSuperuser: true });
      await root.users.deleteUser({ id: chief.id });
    });

    test("a target that nobody is stays NOT_FOUND for those who may call at all", async () => {
      const { credentials, deskKey } = app.prepared;
      const [poorest] = callers;
      const key = poorest && credentials.get(poorest)?.key;
      assert.ok(key);
      const id = crypto.randomUUID();
      for (const { make } of [...changes(true), ...deletions]) {
        await expectError(make(callAs(app.url, bearer(key)), id), {
          code: Code.NotFound,
          reason: "USER_NOT_FOUND",
        });
      }
      const desk = callAs(app.url, bearer(deskKey));
      await expectMissing(desk.users.deleteUser({ id }), "users:delete");
      await expectError(desk.accounts.deleteUser({ userId: "nobody" }), { code: Code.NotFound });
    });
  });

  describe(`a process without auth, on the ${backend.name} database`, () => {
    test("asks the same of those who change users", async (t) => {
      const services = new Set<ServiceName>(["users"]);
      const cleanUps: (() => Promise<void>)[] = [];
      t.after(async () => {
        for (const cleanUp of cleanUps.reverse()) await cleanUp();
      });
      const app = await startGuardedApp(
        (cleanUp) => void cleanUps.push(cleanUp),
        backend,
        { services },
        async (database) => ({
          key: (await createApiKey(database, ["users:write", "users:delete", "posts:write"])).secret,
          targets: await Promise.all(
            powers.map(async (power) => ({ power, ids: await insertAccounts(database, power, 1) })),
          ),
        }),
      );
      const caller = callAs(app.url, bearer(app.prepared.key));
      for (const { power, ids } of app.prepared.targets) {
        const missing = findMissing(["users:write", "users:delete", "posts:write"], power);
        for (const { rpc, service, make } of [...changes(power.isSuperuser), ...deletions]) {
          if (!services.has(service)) continue;
          const call = make(caller, ids[0] ?? "");
          await (missing === undefined ? call : expectMissing(call, missing, rpc));
        }
      }
    });
  });
}

async function expectMissing(call: Promise<unknown>, permission: string, what?: string): Promise<void> {
  const error = await expectError(
    call.then((answer) => assert.fail(`${what ?? "the call"} got ${JSON.stringify(answer)}`)),
    { code: Code.PermissionDenied, reason: "PERMISSION_MISSING" },
  );
  assert.deepEqual(error.findDetails(ErrorInfoSchema)[0]?.metadata, { permission }, what);
}
