import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { openTestDatabase } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { startServerProcess } from "./support/server-process.ts";

const password = "correct horse battery staple";

for (const backend of backends) {
  test(`secrets stay out of the log and the answers when the ${backend.name} database fails with them in hand`, async (t) => {
    const database = await backend.create();
    cleanUpAfter(t, database.drop);
    // Prepared and closed before the server opens it: the embedded database has one process.
    const prepared = { name: backend.name, create: async () => ({ ...database, drop: async () => {} }) };
    await t.test("prepare", async (t) => {
      const { database: queries } = await openTestDatabase(t, prepared);
      // As a violated constraint does: with the row in the error.
      await sql`
        create function fail() returns trigger language plpgsql as $$
        begin raise exception 'failed' using detail = 'Failing row contains ' || new::text; end $$`.execute(
        queries,
      );
      await sql`
        create trigger fail before insert on refresh_tokens for each row execute function fail()`.execute(
        queries,
      );
      await sql`
        create trigger fail before update on user_passwords for each row execute function fail()`.execute(
        queries,
      );
    });
    const server = await startServerProcess({ ...database.variables, LOG_LEVEL: "trace" });
    cleanUpAfter(t, async () => void (await server.stop("SIGTERM")));
    const auth = createClient(AuthService, createGrpcTransport({ baseUrl: server.url }));
    const { id: userId } = await auth.createUser({ email: "ada@example.com", password, isActive: true });
    const errors = [
      await expectError(auth.authenticate({ email: "ada@example.com", password }), { code: Code.Internal }),
      await expectError(auth.updateUser({ userId, password: `${password}!` }), { code: Code.Internal }),
    ];
    await server.stop("SIGTERM");
    for (const text of [server.output(), ...errors.map((error) => error.message)]) {
      assert.doesNotMatch(text, /\$argon2|correct horse|Failing row|\\x[0-9a-f]{20}|ubr_/);
    }
    assert.match(server.output(), /call failed unexpectedly.*failed/s);
  });
}
