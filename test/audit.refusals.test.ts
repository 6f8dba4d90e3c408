import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { type AuditEntry, AuditService } from "../gen/audit/v1/audit_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { type AuditedApp, assertFreeOf, readValues, startAuditedApp } from "./support/audited-app.ts";
import { bearer, type HeaderFields, withFields } from "./support/callers.ts";
import { backends } from "./support/databases.ts";
import { protocols } from "./support/protocols.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** A call that is refused, and the entry that it is to leave. */
interface Refused {
  readonly name: string;
  readonly fields?: HeaderFields;
  readonly call: (transport: Transport) => Promise<unknown>;
  readonly entry: Partial<AuditEntry>;
}

const missing = { actor: "anonymous", outcome: "UNAUTHENTICATED", reason: "CREDENTIAL_MISSING" };
const wrong = { actor: "anonymous", outcome: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" };
const listUsers = "users.v1.UserService/ListUsers";
const list = (transport: Transport) => createClient(UserService, transport).listUsers({});

async function readAll(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** Refusals of every kind. */
function refusals(app: AuditedApp, used: { refreshToken: string }): Refused[] {
  const { user, userToken, superuser } = app;
  const actor = `user:${user.id}`;
  const denied = { actor, outcome: "PERMISSION_DENIED", reason: "PERMISSION_MISSING" };
  const unknownKey = mintApiKey().secret;
  return [
    { name: "no credential", call: list, entry: { ...missing, procedure: listUsers } },
    {
      name: "an unknown key",
      fields: { "x-api-key": unknownKey },
      call: list,
      entry: { ...wrong, procedure: listUsers },
    },
    {
      name: "no token at all",
      fields: bearer("not.a.token-at-all"),
      call: list,
      entry: { ...wrong, procedure: listUsers },
    },
    {
      name: "another scheme",
      fields: { authorization: "Basic YWRhOnNlY3JldC1zZWNyZXQ=" },
      call: list,
      entry: { ...wrong, procedure: listUsers },
    },
    {
      name: "two credentials",
      fields: { ...bearer(userToken), "x-api-key": unknownKey },
      call: list,
      entry: { ...wrong, reason: "CREDENTIALS_AMBIGUOUS", procedure: listUsers },
    },
    {
      name: "a credential without the permission",
      fields: bearer(userToken),
      call: list,
      entry: { ...denied, procedure: listUsers },
    },
    {
      name: "somebody else's profile",
      fields: bearer(userToken),
      call: (transport) =>
        createClient(AuthService, transport).updateUser({
          userId: superuser.id.toUpperCase(),
          fullName: "x",
        }),
      entry: { ...denied, procedure: "auth.AuthService/UpdateUser", subject: superuser.id },
    },
    {
      name: "what only a handler refuses",
      fields: bearer(userToken),
      call: (transport) =>
        createClient(AuthService, transport).updateUser({ userId: user.id, isSuperuser: true }),
      entry: { ...denied, procedure: "auth.AuthService/UpdateUser", subject: user.id },
    },
    {
      // Whatever the request says, it is not read.
      name: "a role",
      fields: bearer(userToken),
      call: (transport) => createClient(AccessService, transport).deleteRole({ name: "editor" }),
      entry: { ...denied, procedure: "access.v1.AccessService/DeleteRole", subject: "" },
    },
    {
      name: "a stream of somebody else's events",
      fields: bearer(userToken),
      call: (transport) =>
        readAll(createClient(UserService, transport).streamUserEvents({ userIds: [superuser.id] })),
      entry: { ...denied, procedure: "users.v1.UserService/StreamUserEvents", subject: superuser.id },
    },
    {
      name: "a bad login",
      call: (transport) =>
        createClient(AuthService, transport).authenticate({
          email: "Nobody@Example.com",
          password: "no secret at all",
        }),
      entry: {
        actor: "anonymous",
        procedure: "auth.AuthService/Authenticate",
        outcome: "UNAUTHENTICATED",
        reason: "BAD_LOGIN",
        subject: "nobody@example.com",
      },
    },
    {
      name: "a password in the place of an email",
      call: (transport) =>
        createClient(AuthService, transport).authenticate({
          email: "my secret password",
          password: "no secret at all",
        }),
      entry: { actor: "anonymous", outcome: "UNAUTHENTICATED", reason: "BAD_LOGIN", subject: "" },
    },
    {
      name: "an unknown refresh token",
      call: (transport) =>
        createClient(AuthService, transport).refreshToken({ refreshToken: `ubr_${"A".repeat(43)}` }),
      entry: {
        procedure: "auth.AuthService/RefreshToken",
        outcome: "INVALID_ARGUMENT",
        reason: "REFRESH_TOKEN_INVALID",
        subject: "",
      },
    },
    {
      name: "a used refresh token",
      call: (transport) => createClient(AuthService, transport).refreshToken(used),
      entry: { outcome: "INVALID_ARGUMENT", reason: "REFRESH_TOKEN_REPLAYED", subject: user.id },
    },
  ];
}

/** What every call of a list of refused ones leaves, by request id. */
async function readEntries(app: AuditedApp, ids: readonly string[]): Promise<Map<string, AuditEntry[]>> {
  const transport = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
  const audit = createClient(AuditService, withFields(transport, bearer(app.token)));
  for (;;) {
    const { entries } = await audit.listAuditEntries({ pageSize: 1_000 });
    const found = new Map(ids.map((id) => [id, entries.filter((entry) => entry.requestId === id)]));
    if ([...found.values()].every((list) => list.length > 0)) return found;
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

for (const backend of backends) {
  describe(`the audit of refusals on the ${backend.name} database`, () => {
    for (const lane of ["on", "off"] as const) {
      test(`each refusal, of every kind and over every protocol, leaves one entry (lane ${lane})`, async (t) => {
        const app = await startAuditedApp(t, backend, { lane });
        const plain = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
        const expected = new Map<string, { refused: Refused; what: string }>();
        for (const protocol of protocols) {
          const auth = createClient(AuthService, plain);
          const { email, password } = app.user;
          const used = await auth.authenticate({ email, password });
          await auth.refreshToken({ refreshToken: used.refreshToken });
          for (const refused of refusals(app, used)) {
            const requestId = randomUUID();
            const fields = { ...refused.fields, "x-request-id": requestId };
            const what = `${refused.name} over ${protocol.name}`;
            const error = await refused.call(withFields(protocol.createTransport(app.url), fields)).then(
              () => assert.fail(`${what} was let through`),
              (failure: unknown) => failure,
            );
            assert.ok(error instanceof ConnectError, what);
            // Too many bad logins end otherwise, and are refusals just as well.
            if (error.code !== Code.ResourceExhausted) expected.set(requestId, { refused, what });
            assert.equal(error.metadata.get("x-request-id"), requestId, what);
          }
        }

        const found = await withDeadline("the entries", readEntries(app, [...expected.keys()]));
        for (const [requestId, { refused, what }] of expected) {
          const [entry, ...more] = found.get(requestId) ?? [];
          assert.ok(entry, what);
          assert.deepEqual(more, [], what);
          for (const [field, value] of Object.entries(refused.entry)) {
            assert.deepEqual(entry[field as keyof AuditEntry], value, `${what}: ${field}`);
          }
          assert.equal(entry.address, "127.0.0.1", what);
          assert.equal(entry.calls, 1n, what);
          assert.equal(entry.credential !== "", entry.actor !== "anonymous", what);
        }

        await app.inspect(async (database) => {
          const values = await readValues(database, "audit_log");
          assertFreeOf(values, [
            "no secret at all",
            "my secret password",
            "YWRhOnNlY3JldC1zZWNyZXQ=",
            "not.a.token-at-all",
            app.userToken,
            `ubr_${"A".repeat(43)}`,
          ]);
        });
      });
    }

    test("what is no refusal leaves none", async (t) => {
      const app = await startAuditedApp(t, backend);
      const transport = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
      const requestId = randomUUID();
      const fields = { ...bearer(app.token), "x-request-id": requestId };
      const users = createClient(UserService, withFields(transport, fields));
      await users.listUsers({});
      await assert.rejects(users.getUser({ email: "nobody@example.com" }));
      await assert.rejects(users.registerUser({ email: "", username: "" }));
      await app.inspect(async (database) => {
        const values = await readValues(database, "audit_log");
        assert.ok(!values.includes(requestId));
      });
    });

    test("a caller without a request id is told the one that was made", async (t) => {
      const app = await startAuditedApp(t, backend);
      const transport = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
      const error = await list(transport).catch((failure: unknown) => failure);
      assert.ok(error instanceof ConnectError);
      const requestId = error.metadata.get("x-request-id") ?? assert.fail("no id");
      const found = await withDeadline("the entry", readEntries(app, [requestId]));
      assert.equal(found.get(requestId)?.length, 1);
    });
  });
}
