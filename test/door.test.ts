import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { bearer, callAs } from "./support/callers.ts";
import { createApiKey, createUser, logIn } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { openRawClient, type RawAnswer, type RawCall, type RawClient } from "./support/raw-call.ts";
import { type GuardedApp, startGuardedApp } from "./support/test-app.ts";

/** A header, by the names of credentials in braces, and what it comes to. */
type Case = readonly [what: string, fields: readonly (readonly [string, string])[], outcome: string];

const good = "200";
const missing = "CREDENTIAL_MISSING";
const invalid = "CREDENTIAL_INVALID";
const ambiguous = "CREDENTIALS_AMBIGUOUS";

const cases: readonly Case[] = [
  ["nothing", [], missing],
  ["an access token", [["authorization", "Bearer {token}"]], good],
  ["an API key as bearer", [["authorization", "Bearer {key}"]], good],
  ["x-api-key", [["x-api-key", "{key}"]], good],
  ["x-junjo-api-key", [["x-junjo-api-key", "{key}"]], good],
  ["names and schemes in any case", [["AUTHORIZATION", "bEARER {token}"]], good],
  ["several spaces", [["authorization", "Bearer   {token}"]], good],
  ["space around", [["authorization", "  Bearer {token}  "]], good],
  ["no scheme", [["authorization", "{token}"]], invalid],
  ["another scheme", [["authorization", "Basic {token}"]], invalid],
  ["a scheme and no credential", [["authorization", "Bearer"]], invalid],
  ["an empty field", [["authorization", ""]], invalid],
  ["an empty key", [["x-api-key", ""]], invalid],
  ["garbage", [["authorization", "Bearer garbage"]], invalid],
  ["a token that is not ours", [["authorization", "Bearer {forged}"]], invalid],
  ["a token where a key belongs", [["x-api-key", "{token}"]], invalid],
  ["a key that nobody has", [["x-api-key", "{unknown}"]], invalid],
  ["a key with a typo", [["x-api-key", "{typo}"]], invalid],
  ["a revoked key", [["x-api-key", "{revoked}"]], invalid],
  ["an expired key", [["x-api-key", "{expired}"]], invalid],
  [
    "the same token twice",
    [
      ["authorization", "Bearer {token}"],
      ["authorization", "bearer {token}"],
    ],
    good,
  ],
  [
    "the same key in three fields",
    [
      ["authorization", "Bearer {key}"],
      ["x-api-key", "{key}"],
      ["x-junjo-api-key", "{key}"],
    ],
    good,
  ],
  [
    "the same key twice in a field",
    [
      ["x-api-key", "{key}"],
      ["x-api-key", "{key}"],
    ],
    good,
  ],
  [
    "two tokens, the first good",
    [
      ["authorization", "Bearer {token}"],
      ["authorization", "Bearer garbage"],
    ],
    ambiguous,
  ],
  [
    "two tokens, the second good",
    [
      ["authorization", "Bearer garbage"],
      ["authorization", "Bearer {token}"],
    ],
    ambiguous,
  ],
  [
    "two good keys",
    [
      ["x-api-key", "{key}"],
      ["x-api-key", "{other}"],
    ],
    ambiguous,
  ],
  [
    "two good keys in two fields",
    [
      ["x-api-key", "{key}"],
      ["x-junjo-api-key", "{other}"],
    ],
    ambiguous,
  ],
  [
    "a token and a key",
    [
      ["authorization", "Bearer {token}"],
      ["x-api-key", "{key}"],
    ],
    ambiguous,
  ],
  [
    "a key and an empty field",
    [
      ["authorization", ""],
      ["x-api-key", "{key}"],
    ],
    ambiguous,
  ],
  ["two keys in one field", [["x-api-key", "{key}, {other}"]], ambiguous],
  ["two tokens in one field", [["authorization", "Bearer {token}, Bearer {token}"]], invalid],
];

for (const backend of backends) {
  for (const lane of ["on", "off"] as const) {
    describe(`at the door, on the ${backend.name} database, lane ${lane}`, () => {
      let app: GuardedApp<Awaited<ReturnType<typeof prepare>>>;
      let client: RawClient;
      const cleanUps: (() => Promise<void>)[] = [];
      let credentials: Readonly<Record<string, string>>;

      async function prepare(database: Parameters<typeof createApiKey>[0]) {
        const hour = 3_600_000;
        const [revoked, expired] = [
          await createApiKey(database, ["users:read"]),
          await createApiKey(database, ["users:read"], new Date(Date.now() - hour)),
        ];
        await database
          .updateTable("api_keys")
          .set({ revoked_at: new Date() })
          .where("id", "=", revoked.id)
          .execute();
        return {
          key: (await createApiKey(database, ["users:read"])).secret,
          other: (await createApiKey(database, ["users:read"])).secret,
          revoked: revoked.secret,
          expired: expired.secret,
          plain: await createUser(database),
          manager: await createUser(database, ["roles:write", "roles:read", "accounts:write", "posts:write"]),
        };
      }

      before(async () => {
        app = await startGuardedApp((cleanUp) => void cleanUps.push(cleanUp), backend, { lane }, prepare);
        client = openRawClient(app.url);
        const { key, other, revoked, expired } = app.prepared;
        const unknown = mintApiKey().secret;
        const typo = key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");
        const [header = "", claims = "", signature = ""] = app.token.split(".");
        const forged = [header, claims, signature.replace(/^./, (c) => (c === "A" ? "B" : "A"))].join(".");
        credentials = { key, other, revoked, expired, unknown, typo, token: app.token, forged };
      });
      after(async () => {
        client.close();
        for (const cleanUp of cleanUps.reverse()) await cleanUp();
      });

      const send = (httpVersion: 1 | 2, method: string, fields: RawCall["headers"]): Promise<RawAnswer> =>
        client.send({
          httpVersion,
          method: "POST",
          path: `/${method}`,
          headers: [
            ["content-type", "application/json"],
            ...fields.map(([name, value]) => [name, fill(value)] as const),
          ],
          body: Buffer.from("{}"),
        });
      const fill = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name) => credentials[name] ?? "");

      for (const httpVersion of [1, 2] as const) {
        test(`whoever calls is known by one good credential, over HTTP/${httpVersion}`, async () => {
          for (const [what, fields, outcome] of cases) {
            const answer = await send(httpVersion, "users.v1.UserService/ListUsers", fields);
            const reason = /"reason":"(\w+)"/.exec(answer.body.toString())?.[1];
            assert.equal(
              answer.status === 401 ? findReason(answer) : String(answer.status),
              outcome,
              `${what}: ${answer.body} ${reason}`,
            );
          }
        });

        test(`nobody learns whether a key or token exists, over HTTP/${httpVersion}`, async () => {
          const answers = new Set<string>();
          for (const name of ["revoked", "expired", "unknown", "typo"]) {
            const { status, headers, body } = await send(httpVersion, "users.v1.UserService/ListUsers", [
              ["x-api-key", `{${name}}`],
            ]);
            answers.add(
              JSON.stringify([
                status,
                headers.filter((line) => !/^(?:date|x-request-id):/.test(line)),
                body.toString(),
              ]),
            );
          }
          assert.equal(answers.size, 1, [...answers].join("\n"));
          assert.match([...answers].join(), /www-authenticate: Bearer/);
        });

        test(`what is public looks at no credential, over HTTP/${httpVersion}`, async () => {
          for (const [what, fields] of cases) {
            const answer = await send(httpVersion, "auth.AuthService/HealthCheck", fields);
            assert.equal(answer.status, 200, what);
          }
        });
      }

      test("people may read themselves, by whichever name, and nobody else", async () => {
        const { plain } = app.prepared;
        const caller = callAs(app.url, bearer(await logIn(app.url, plain)));
        for (const self of [
          { id: plain.id },
          { id: plain.id.toUpperCase() },
          { email: plain.email.toUpperCase() },
        ]) {
          assert.equal((await caller.users.getUser(self)).user?.id, plain.id);
        }
        for (const other of [
          { id: app.superuser.id },
          { email: app.superuser.email },
          { username: "ada" },
          {},
        ]) {
          await expectMissing(caller.users.getUser(other), "users:read");
        }
      });

      test("a token that is good no more is refused", async () => {
        const superuser = callAs(app.url, app.headers);
        const { id } = await superuser.accounts.createUser({
          email: `${lane}@example.com`,
          password: "correct horse",
          isActive: true,
        });
        const caller = callAs(
          app.url,
          bearer(await logIn(app.url, { email: `${lane}@example.com`, password: "correct horse" })),
        );
        await caller.accounts.getUser({ userId: id });
        await caller.accounts.updateUser({ userId: id, password: "battery staple" });
        await waitFor(() =>
          expectError(caller.accounts.getUser({ userId: id }), {
            code: Code.Unauthenticated,
            reason: invalid,
          }),
        );
      });

      test("what roles permit counts within a second, whether it is given or taken", async () => {
        const superuser = callAs(app.url, app.headers);
        const { id, ...login } = app.prepared.plain;
        const caller = callAs(app.url, bearer(await logIn(app.url, { ...login, email: login.email })));
        const list = () => caller.users.listUsers({});
        const role = `reader-${lane}`;
        await expectMissing(list(), "users:read");
        await superuser.roles.createRole({ name: role });
        await superuser.roles.assignRole({ userId: id, role });
        await superuser.roles.grantPermission({ role, permission: "users:read" });
        await waitFor(list);
        for (const [take, give] of [
          [
            () => superuser.roles.revokePermission({ role, permission: "users:read" }),
            () => superuser.roles.grantPermission({ role, permission: "users:read" }),
          ],
          [
            () => superuser.roles.unassignRole({ userId: id, role }),
            () => superuser.roles.assignRole({ userId: id, role }),
          ],
        ] as const) {
          await take();
          await waitFor(() => expectMissing(list(), "users:read"));
          await give();
          await waitFor(list);
        }
      });

      test("nobody gives others what they do not hold", async () => {
        const { manager, plain } = app.prepared;
        const superuser = callAs(app.url, app.headers);
        const caller = callAs(app.url, bearer(await logIn(app.url, manager)));
        const [own, foreign] = [`own-${lane}`, `foreign-${lane}`];
        await superuser.roles.createRole({ name: foreign, permissions: ["posts:write", "users:delete"] });
        await caller.roles.createRole({ name: own, permissions: ["posts:write"] });
        await expectMissing(
          caller.roles.createRole({ name: `more-${lane}`, permissions: ["posts:write", "users:delete"] }),
          "users:delete",
        );
        await caller.roles.grantPermission({ role: own, permission: "roles:read" });
        await expectMissing(
          caller.roles.grantPermission({ role: own, permission: "users:delete" }),
          "users:delete",
        );
        await caller.roles.assignRole({ userId: plain.id, role: own });
        await expectMissing(caller.roles.assignRole({ userId: manager.id, role: foreign }), "users:delete");
        await expectError(caller.roles.assignRole({ userId: plain.id, role: "no-such-role" }), {
          code: Code.NotFound,
        });
      });

      test("superusers are made, changed and deleted by those alone who may do that", async () => {
        const { manager, plain } = app.prepared;
        const superuser = callAs(app.url, app.headers);
        const caller = callAs(app.url, bearer(await logIn(app.url, manager)));
        const other = { email: `new-${lane}@example.com`, password: "correct horse", isActive: true };
        await expectMissing(caller.accounts.createUser({ ...other, isSuperuser: true }), "accounts:admin");
        const { id } = await caller.accounts.createUser(other);
        await expectMissing(caller.accounts.updateUser({ userId: id, isSuperuser: true }), "accounts:admin");
        await expectMissing(
          caller.accounts.updateUser({ userId: app.superuser.id, password: "battery staple" }),
          "accounts:admin",
        );
        await superuser.accounts.updateUser({ userId: id, isSuperuser: true });
        await superuser.accounts.updateUser({ userId: app.superuser.id, fullName: "Grace" });

        const deleter = (await superuser.keys.createApiKey({ name: "deleter", scopes: ["accounts:delete"] }))
          .secret;
        const program = callAs(app.url, bearer(deleter));
        await expectMissing(program.accounts.deleteUser({ userId: id }), "accounts:admin");
        await superuser.accounts.updateUser({ userId: id, isSuperuser: false });
        await program.accounts.deleteUser({ userId: id });

        const self = callAs(app.url, bearer(await logIn(app.url, plain)));
        await self.accounts.updateUser({ userId: plain.id, fullName: "Plain" });
        await expectMissing(self.accounts.updateUser({ userId: plain.id, isActive: true }), "accounts:write");
        await expectMissing(
          self.accounts.updateUser({ userId: plain.id, isSuperuser: false }),
          "accounts:admin",
        );
      });
    });
  }
}

/** The reason that a Connect error in JSON gives. */
function findReason({ body }: RawAnswer): string | undefined {
  const { details = [] } = JSON.parse(body.toString()) as { details?: { debug?: { reason?: string } }[] };
  return details[0]?.debug?.reason;
}

async function expectMissing(call: Promise<unknown>, permission: string): Promise<void> {
  const error = await expectError(call, { code: Code.PermissionDenied, reason: "PERMISSION_MISSING" });
  assert.deepEqual(error.findDetails(ErrorInfoSchema)[0]?.metadata, { permission });
  assert.ok(error.message.includes(permission));
}

/** Waits until something is so; it must be within a second. */
async function waitFor(check: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + 1_000;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      assert.ok(error instanceof ConnectError || error instanceof assert.AssertionError, String(error));
    }
  }
}
