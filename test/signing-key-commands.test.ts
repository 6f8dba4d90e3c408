import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { runCommand } from "./support/server-process.ts";

for (const backend of backends) {
  describe(`user-bridge keys and tokens on the ${backend.name} database`, () => {
    test("list, rotate and sign with the keys that a server would use", async (t) => {
      const database = await backend.create();
      t.after(() => database.drop());
      const variables = { ...database.variables, KEY_ENCRYPTION_KEY: randomBytes(32).toString("base64") };
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await runCommand(args, variables);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const token = (await run("tokens", "service", "nightly-report")).trimEnd();
      const { kid = "" } = decodeProtectedHeader(token);
      const { sub, type, iss, aud, iat = 0, exp } = decodeJwt(token);
      assert.deepEqual(
        { sub, type, iss, aud, exp },
        { sub: "nightly-report", type: "service", iss: "user-bridge", aud: "user-bridge", exp: iat + 3_600 },
      );
      const next = /^key (\S+) signs from \S+Z\n$/.exec(await run("keys", "rotate"))?.[1];
      const second = await run("keys", "list");
      assert.match(second, new RegExp(`^${kid}  signs .*Z  \\S+Z\n\\S+  published .*-\n$`));

      const fresh = /^key (\S+) signs now\n$/.exec(await run("keys", "rotate", "--now"))?.[1];
      const states = (await run("keys", "list")).trimEnd().split("\n");
      assert.deepEqual(
        states.map((line) => line.split(/\s+/).slice(0, 2)).filter(([, state]) => state !== "retired"),
        [[fresh, "signs"]],
      );
      assert.equal(states.length, 3);

      const refused = await runCommand(["tokens", "service", "nightly-report"], {
        ...variables,
        KEY_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
      });
      assert.equal(refused.code, 1);
      assert.equal(refused.stdout, "");
      assert.match(
        refused.stderr,
        /^user-bridge: no key-encryption key opens the signing key [^\n]*--now\n$/,
      );
      const foreign = { ...variables, KEY_ENCRYPTION_KEY: randomBytes(32).toString("base64") };
      assert.equal((await runCommand(["keys", "rotate"], foreign)).code, 1);

      const entries = await onDatabase(database.config, (queries) =>
        queries.selectFrom("audit_log").selectAll().orderBy("id").execute(),
      );
      assert.deepEqual(
        entries.map(({ actor, credential, procedure, subject, outcome }) => ({
          actor,
          credential,
          procedure,
          subject,
          outcome,
        })),
        [
          ["keys rotate", next],
          ["keys rotate --now", fresh],
        ].map(([command, kid]) => ({
          actor: `command:${command}`,
          credential: "",
          procedure: `user-bridge ${command}`,
          subject: kid,
          outcome: "OK",
        })),
      );
    });
  });
}
