import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserEventsRequest_Start, UserService } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { useTestApp } from "./support/test-app.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const password = "correct horse battery staple";
/** What is nobody's: an id of the right form, and a text that is no id. */
const unknownIds = ["01890000-0000-7000-8000-000000000000", "nobody"];

for (const backend of backends) {
  describe(`auth.AuthService on the ${backend.name} database`, () => {
    const app = useTestApp(backend, { trustedProxies: ["127.0.0.1"] });

    for (const [index, protocol] of protocols.entries()) {
      describe(protocol.name, () => {
        let auth: Client<typeof AuthService>;
        let users: Client<typeof UserService>;
        let access: Client<typeof AccessService>;
        /** Emails of this protocol's own: all share one database. */
        const email = (text: string) => `auth${index}_${text}@example.com`;
        const create = (text: string, more: { isActive?: boolean; isSuperuser?: boolean } = {}) =>
          auth.createUser({
            email: email(text),
            password,
            fullName: "Ada Lovelace",
            isActive: true,
            ...more,
          });
        let logins = 0;
        /** Each from an address of its own: failures slow down whoever comes from theirs. */
        const logIn = (login: { email: string; password: string }) =>
          auth.authenticate(login, { headers: { "x-forwarded-for": `10.1.${index}.${++logins}` } });
        before(() => {
          const transport = protocol.createTransport(app.url);
          auth = createClient(AuthService, transport);
          users = createClient(UserService, transport);
          access = createClient(AccessService, transport);
        });

        test("a created account is what was asked for, and one row with the user of users.v1", async () => {
          const startedAt = BigInt(Math.floor(Date.now() / 1_000));
          const account = await create("Created".toUpperCase());
          assert.match(account.id, uuidV7);
          assert.deepEqual(withoutType(account), {
            id: account.id,
            email: email("created"),
            fullName: "Ada Lovelace",
            isActive: true,
            isSuperuser: false,
            createdAt: account.createdAt,
            updatedAt: account.createdAt,
          });
          assert.ok(account.createdAt >= startedAt);
          assert.deepEqual(withoutType(await auth.getUser({ userId: account.id })), withoutType(account));
          const { user } = await users.getUser({ email: email("created") });
          assert.deepEqual([user?.id, user?.username, user?.isActive], [account.id, "", true]);
          await users.updateUser({ user: { id: account.id, username: `auth${index}_ada` } });
          const named = await users.getUser({ username: `auth${index}_ada` });
          assert.equal(named.user?.id, account.id);
        });

        test("a user of users.v1 is an account that has no password yet", async () => {
          const { id } = await users.registerUser({ email: email("v1"), username: `auth${index}_v1` });
          assert.equal((await auth.getUser({ userId: id })).email, email("v1"));
          await expectError(logIn({ email: email("v1"), password }), {
            code: Code.Unauthenticated,
          });
          await auth.updateUser({ userId: id, password });
          assert.notEqual((await logIn({ email: email("v1"), password })).accessToken, "");
        });

        test("a login gives tokens that are good, and each refresh new ones", async () => {
          const { id } = await create("login", { isSuperuser: true });
          const login = await logIn({ email: email("LOGIN"), password });
          assert.equal(login.tokenType, "bearer");
          assert.equal(login.expiresIn, 3_600n);
          const refreshed = await auth.refreshToken({ refreshToken: login.refreshToken });
          assert.notEqual(refreshed.refreshToken, login.refreshToken);
          for (const { accessToken } of [login, refreshed]) {
            const validation = await auth.validateToken({ token: accessToken });
            const { isValid, userId, isActive, isSuperuser, expiresAt } = validation;
            assert.deepEqual([isValid, userId, isActive, isSuperuser], [true, id, true, true]);
            const remaining = Number(expiresAt) - Date.now() / 1_000;
            assert.ok(remaining > 3_500 && remaining <= 3_600, String(remaining));
          }
        });

        test("a refresh token that is used twice is refused, and so is its successor from then on", async () => {
          await create("replay");
          const login = await logIn({ email: email("replay"), password });
          const refreshed = await auth.refreshToken({ refreshToken: login.refreshToken });
          for (const { refreshToken } of [login, refreshed]) {
            await expectError(auth.refreshToken({ refreshToken }), {
              code: Code.InvalidArgument,
              reason: "REFRESH_TOKEN_INVALID",
            });
          }
        });

        test("whatever is wrong with a login, the answer is the same", async () => {
          await create("inactive", { isActive: false });
          await create("wrong");
          const answers = await Promise.all(
            [
              { email: email("nobody"), password },
              { email: email("inactive"), password },
              { email: email("wrong"), password: "not the password" },
              { email: email("wrong"), password: "short" },
              { email: "no email at all\0", password },
            ].map(async (login) => {
              const error = await expectError(logIn(login), {
                code: Code.Unauthenticated,
                reason: "BAD_LOGIN",
              });
              return error.rawMessage;
            }),
          );
          assert.equal(new Set(answers).size, 1);
        });

        test("what is no good token is not valid, and nothing else is said", async () => {
          await create("tokens");
          const { accessToken } = await logIn({ email: email("tokens"), password });
          const [header, claims] = accessToken.split(".");
          const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.`;
          for (const token of ["", "garbage", accessToken.slice(0, -10), `${header}.${claims}.`, unsigned]) {
            assert.deepEqual(withoutType(await auth.validateToken({ token })), {
              isValid: false,
              userId: "",
              isActive: false,
              isSuperuser: false,
              expiresAt: 0n,
            });
          }
        });

        test("a new password, a deactivation and a removal each end the tokens", async () => {
          for (const [name, end] of [
            ["password", (userId: string) => auth.updateUser({ userId, password: "another password" })],
            ["deactivation", (userId: string) => auth.updateUser({ userId, isActive: false })],
            ["v1 deactivation", (id: string) => users.deactivateUser({ id })],
            ["removal", (userId: string) => auth.deleteUser({ userId })],
          ] as const) {
            const account = await create(`ends_${name.replace(" ", "_")}`);
            const { accessToken, refreshToken } = await logIn({ email: account.email, password });
            assert.equal((await auth.validateToken({ token: accessToken })).isValid, true);
            await end(account.id);
            const deadline = Date.now() + 30_000;
            while ((await auth.validateToken({ token: accessToken })).isValid) {
              assert.ok(Date.now() < deadline, `${name} did not end the access token`);
            }
            await expectError(auth.refreshToken({ refreshToken }), { code: Code.InvalidArgument });
          }
        });

        test("an update changes what is set and nothing else, with one event", async () => {
          const { id } = await create("updated");
          const renamed = await auth.updateUser({ userId: id, email: email("UPDATED2"), fullName: "Ada" });
          assert.deepEqual([renamed.email, renamed.fullName], [email("updated2"), "Ada"]);
          const kept = await auth.updateUser({ userId: id });
          assert.deepEqual(withoutType(kept), withoutType(renamed));
          const both = await auth.updateUser({ userId: id, isActive: false, fullName: "Countess" });
          assert.deepEqual(
            [both.isActive, both.fullName, both.email],
            [false, "Countess", email("updated2")],
          );
          assert.equal((await auth.deleteUser({ userId: id })).success, true);
          assert.deepEqual(await readTypes(users, id), [
            "user_registered",
            "user_updated",
            "user_deactivated",
            "user_deleted",
          ]);
        });

        test("a taken email is ALREADY_EXISTS, and CheckEmailExists knows it", async () => {
          const { id } = await create("taken");
          await create("other");
          const expected = { code: Code.AlreadyExists, reason: "EMAIL_TAKEN" };
          await expectError(create("TAKEN"), expected);
          await expectError(auth.updateUser({ userId: id, email: email("other") }), expected);
          assert.equal((await auth.checkEmailExists({ email: email("TAKEN") })).exists, true);
          assert.equal((await auth.checkEmailExists({ email: email("free") })).exists, false);
        });

        test("wrong fields are INVALID_ARGUMENT and named", async () => {
          const valid = { email: email("fields"), password, isActive: true };
          for (const [fields, call] of [
            [["email"], () => auth.createUser({ ...valid, email: "no" })],
            [["password"], () => auth.createUser({ ...valid, password: "7 bytes" })],
            [["password"], () => auth.createUser({ ...valid, password: "é".repeat(513) })],
            [["full_name"], () => auth.createUser({ ...valid, fullName: "x".repeat(201) })],
            [["full_name"], () => auth.createUser({ ...valid, fullName: "a\0b" })],
            [["user_id"], () => auth.getUser({})],
            [["email"], () => auth.checkEmailExists({ email: "no" })],
            [["refresh_token"], () => auth.refreshToken({})],
            [["password"], () => logIn({ email: email("fields"), password: "x".repeat(1_025) })],
          ] as const) {
            await expectError(call(), { code: Code.InvalidArgument, fields });
          }
          const { id } = await auth.createUser({ ...valid, password: "8 bytes!" });
          await expectError(auth.updateUser({ userId: id, password: "short" }), {
            code: Code.InvalidArgument,
            fields: ["password"],
          });
        });

        test("whoever does not exist is NOT_FOUND, whatever is asked of it", async () => {
          for (const userId of unknownIds) {
            for (const call of [
              () => auth.getUser({ userId }),
              () => auth.updateUser({ userId, fullName: "Nobody" }),
              () => auth.updateUser({ userId, password }),
              () => auth.deleteUser({ userId }),
              () => auth.getUserRoles({ userId }),
            ]) {
              await expectError(call(), { code: Code.NotFound, reason: "USER_NOT_FOUND" });
            }
          }
        });

        test("everybody may read, superusers may write and delete, and others what they are granted", async () => {
          const { id: userId } = await create("roles");
          const role = `reviewer${index}`;
          assert.deepEqual(withoutType(await auth.getUserRoles({ userId })), {
            userId,
            roles: ["user"],
            permissions: { read: "true" },
          });
          await auth.updateUser({ userId, isSuperuser: true });
          await access.createRole({ name: role, permissions: ["reviews:write"] });
          await access.assignRole({ userId, role });
          assert.deepEqual(withoutType(await auth.getUserRoles({ userId })), {
            userId,
            roles: ["admin", role, "user"],
            permissions: { delete: "true", read: "true", "reviews:write": "true", write: "true" },
          });
          await access.unassignRole({ userId, role });
          await auth.updateUser({ userId, isSuperuser: false });
          assert.deepEqual((await auth.getUserRoles({ userId })).roles, ["user"]);
        });

        test("its health is that of the process", async () => {
          for (const service of ["", "auth", "auth.AuthService"]) {
            const { status, message, timestamp } = await auth.healthCheck({ service });
            assert.deepEqual([status, message], [true, "serving"]);
            assert.ok(Math.abs(Number(timestamp) - Date.now() / 1_000) < 60);
          }
          await expectError(auth.healthCheck({ service: "billing" }), { code: Code.NotFound });
        });
      });
    }
  });
}

/** A message's fields alone, to compare. */
function withoutType<T extends { $typeName: string }>({
  $typeName,
  ...fields
}: T): Omit<T, "$typeName" | "$unknown"> {
  const { $unknown, ...known } = fields as { $unknown?: unknown } & typeof fields;
  return known as Omit<T, "$typeName" | "$unknown">;
}

/** What has happened to a user, up to its removal. */
async function readTypes(users: Client<typeof UserService>, id: string): Promise<string[]> {
  const types: string[] = [];
  for await (const { type } of users.streamUserEvents({
    start: UserEventsRequest_Start.EARLIEST,
    userIds: [id],
  })) {
    types.push(type);
    if (type === "user_deleted") break;
  }
  return types;
}
