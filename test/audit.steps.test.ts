import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { createAccessHandler } from "../src/access/access.handler.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { auditRoles, openAccessSystems } from "./support/access-system.ts";
import { startAuditedApp } from "./support/audited-app.ts";
import { bearer, withFields } from "./support/callers.ts";
import { backends } from "./support/databases.ts";
import { withKey } from "./support/keyed-calls.ts";
import { openTestHost } from "./support/server-pair.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

for (const backend of backends) {
  describe(`the audit of what takes long, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend, auditRoles);

    test("a role that is taken from its holders in many steps is deleted in one entry, and answered once", async (t) => {
      const [system] = await openAccessSystems(t, shared, 1, 2);
      const { database, roles, addUser } = system;
      await sql`truncate audit_log`.execute(database);
      await roles.create({ name: "held", description: "", permissions: [] });
      for (let holder = 0; holder < 7; holder++) await roles.assign(await addUser(), "held");
      const handler = createAccessHandler(roles, createAnswerWrite({ database, now: () => new Date() }));
      const url = await openTestHost(t, (router) => void router.service(AccessService, handler));
      const client = createClient(AccessService, createGrpcTransport({ baseUrl: url }));

      const key = withKey(randomUUID());
      for (let round = 0; round < 3; round++) await client.deleteRole({ name: "held" }, key);
      await assert.rejects(client.deleteRole({ name: "held" }));
      const entries = await database.selectFrom("audit_log").select(["procedure", "subject"]).execute();
      assert.deepEqual(entries, [{ procedure: "access.v1.AccessService/DeleteRole", subject: "held" }]);
    });

    test("a stream that ends with its credential leaves an entry", async (t) => {
      const app = await startAuditedApp(t, backend);
      const transport = createGrpcTransport({ baseUrl: app.url });
      const theirs = withFields(transport, bearer(app.token));
      const keys = createClient(ApiKeyService, theirs);
      const { apiKey, secret } = await keys.createApiKey({ name: "reader", scopes: ["events:read"] });
      const requestId = randomUUID();
      const fields = { ...bearer(secret), "x-request-id": requestId };
      const stream = createClient(UserService, withFields(transport, fields)).streamUserEvents({});
      const ended = (async () => {
        for await (const _ of stream);
      })().catch((error: unknown) => error);
      await createClient(UserService, theirs).registerUser({ email: "ada@example.com", username: "ada" });
      await keys.revokeApiKey({ id: apiKey?.id ?? "" });
      const error = await withDeadline("the end of the stream", ended);
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.Unauthenticated);

      const audit = createClient(AuditService, theirs);
      const entry = await withDeadline(
        "the entry",
        (async () => {
          for (;;) {
            const { entries } = await audit.listAuditEntries({ outcome: "UNAUTHENTICATED" });
            const found = entries.find((one) => one.requestId === requestId);
            if (found !== undefined) return found;
            await new Promise((wake) => setTimeout(wake, 50));
          }
        })(),
      );
      assert.equal(entry.procedure, "users.v1.UserService/StreamUserEvents");
      assert.match(entry.reason, /^CREDENTIAL_(ENDED|INVALID)$/);
    });
  });
}
