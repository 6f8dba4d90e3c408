import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { format as formatText } from "node:util";
import fc from "fast-check";
import { sql } from "kysely";
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { cleanJsonLine } from "../src/platform/log-line.ts";
import { createFormattedLogger } from "../src/platform/logger.ts";
import { prettyLine } from "../src/platform/pretty-line.ts";
import type { Database } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createSuperuser, createUser, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { callWithSecrets, Secrets } from "./support/secret-calls.ts";
import { runCommand, startServerProcess } from "./support/server-process.ts";

/** Under these names, whatever the case and whatever is before, everything is secret. */
const names = [
  "authorization",
  "Authorization",
  "proxy-authorization",
  "x-api-key",
  "x-junjo-api-key",
  "cookie",
  "set-cookie",
  "idempotency-key",
  "password",
  "newPassword",
  "PGPASSWORD",
  "token",
  "refresh_token",
  "refreshToken",
  "access_token",
  "api_key",
  "apiKey",
  "secret",
  "clientSecret",
  "KEY_ENCRYPTION_KEY",
  "keyEncryptionKeys",
] as const;

/** Nothing that the log says by itself is as long. */
const marker = fc.stringMatching(/^[A-Za-z0-9]{16,24}$/);
const word = fc.constantFrom("user", "of", "said:", "7", "{", "", "a=b", "http://host/path?x=y@z");

/** A value that is secret for its name. */
const named = marker.chain((secret) =>
  fc.record({
    secret: fc.constant(secret),
    value: fc.constantFrom<unknown>(
      secret,
      `"${secret}" and '${secret}'\n${secret} \\`,
      [secret],
      [["a", secret]],
      { deep: { deeper: secret } },
      { toJSON: () => secret },
      Buffer.from(secret).toString(),
    ),
  }),
);

/** A text with a secret that can be told from its form, or by what stands before it. */
const telling: fc.Arbitrary<{ secret: string; text: string }> = fc.oneof(
  fc
    .constant(0)
    .map(() => ({ key: mintApiKey().secret }))
    .map(({ key }) => ({ secret: key.slice(12), text: key })),
  fc
    .constant(0)
    .map(() => randomBytes(32).toString("base64url"))
    .map((secret) => ({ secret, text: `ubr_${secret}` })),
  marker.map((secret) => ({
    secret,
    text: `eyJhbGciOiJFUzI1NiJ9.${Buffer.from(`{"sub":"x"}`).toString("base64url")}.${secret}`,
  })),
  marker.map((secret) => ({ secret, text: `eyJ${secret}.${secret}` })),
  fc.tuple(marker, fc.constantFrom("", "@", ":", "$", '"', "\\", "[")).map(([secret, odd]) => ({
    secret,
    text: `postgres://app:${secret}${odd}${secret}@db.internal:5432/app?sslmode=require`,
  })),
  marker.map((secret) => ({ secret, text: `https://:${secret}@host/` })),
  marker.map((secret) => ({ secret, text: `Bearer ${secret}` })),
  fc
    .tuple(marker, fc.constantFrom(...names))
    .map(([secret, name]) => ({ secret, text: `${name}=${secret}` })),
  fc.tuple(marker, fc.constantFrom(...names)).map(([secret, name]) => ({
    secret,
    text: JSON.stringify({ a: 1, [name]: `"${secret}\\" ${secret}`, z: [2] }),
  })),
  fc.tuple(marker, fc.constantFrom(...names)).map(([secret, name]) => ({
    secret,
    text: JSON.stringify({ body: JSON.stringify({ [name]: `x"${secret}` }) }),
  })),
  fc
    .tuple(marker, fc.constantFrom("authorization", "Cookie", "X-Api-Key", "idempotency-key"))
    .map(([secret, name]) => ({
      secret,
      text: `POST / HTTP/1.1\r\n${name}: a ${secret}; b=${secret}\r\n\r\n`,
    })),
  marker.map((secret) => ({ secret, text: `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$${secret}` })),
  marker.map((secret) => ({
    secret,
    text: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`,
  })),
);

/** An object to log, with the secret somewhere in it. */
const planted: fc.Arbitrary<{ secret: string; value: unknown }> = fc
  .oneof(
    fc
      .tuple(named, fc.constantFrom(...names))
      .map(([{ secret, value }, name]) => ({ secret, value: { [name]: value } })),
    fc
      .tuple(named, fc.constantFrom(...names))
      .map(([{ secret, value }, name]) => ({ secret, value: ["host", "a", name, value] })),
    fc
      .tuple(word, telling, word)
      .map(([before, { secret, text }, after]) => ({ secret, value: `${before} ${text} ${after}` })),
    telling
      .filter(({ text }) => !/[\s"]/.test(text))
      .map(({ secret, text }) => ({ secret, value: { [text]: 1 } })),
  )
  .chain(({ secret, value }) =>
    fc.array(fc.constantFrom("key", "item", "sibling"), { maxLength: 2 }).map((path) => ({
      secret,
      value: path.reduce<unknown>(
        (inner, step) =>
          step === "key" ? { inner } : step === "item" ? [1, inner] : { first: "x", inner, last: null },
        value,
      ),
    })),
  );

test("no secret gets into the log, whatever is logged", () => {
  fc.assert(
    fc.property(planted, telling, ({ secret, value }, { secret: said, text }) => {
      for (const format of [cleanJsonLine, (line: string) => prettyLine(line, false)]) {
        let written = "";
        const logger = createFormattedLogger("trace", format, (line) => {
          written += line;
        });
        const error = Object.assign(new Error(text, { cause: new Error(text) }), { code: text });
        logger.info({ value }, "an object");
        if (!Array.isArray(value)) logger.info(value as object, "the object itself");
        logger.child({ value }).info("bound");
        logger.error({ err: error, reason: text }, text);
        logger.error(error);
        logger.info(formatText("%s and %j", text, value));
        for (const one of [secret, said]) assert.ok(!written.includes(one), `${one} is in ${written}`);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("what is no secret stays as it is", () => {
  const line = (fields: object, msg: string) => {
    let written = "";
    createFormattedLogger("info", cleanJsonLine, (text) => {
      written += text;
    }).info(fields, msg);
    const { level: _level, time: _time, ...rest } = JSON.parse(written);
    return rest;
  };
  const id = randomUUID();
  for (const fields of [
    {
      requestId: id,
      principal: `user:${id}`,
      credential: `token:${id}`,
      method: "auth.AuthService/RefreshToken",
    },
    {
      credential: "key:ubk_0a1B2c3D",
      reason: "CREDENTIAL_INVALID",
      method: "apikeys.v1.ApiKeyService/CreateApiKey",
    },
    { url: "https://example.com:8443/a?b=c@d", paths: ["/etc/tls/tls.key"], lines: 3, isPasswordSet: true },
    { url: "postgres://app@db/app", text: "no token was given, nor a password", token: null, secret: "" },
  ]) {
    assert.deepEqual(line(fields, "ValidateToken"), { ...fields, msg: "ValidateToken" });
  }
});

for (const backend of backends) {
  describe(`at LOG_LEVEL=trace, with calls that end well and calls that the ${backend.name} database breaks off`, () => {
    for (const format of ["json", "pretty"] as const) {
      test(`the log has no secret (${format})`, async (t) => {
        const database = await backend.create();
        cleanUpAfter(t, database.drop);
        const holders = await onDatabase(database.config, async (queries) => ({
          superuser: await createSuperuser(queries),
          user: await createUser(queries),
          apiKey: await createApiKey(queries, ["users:read"]),
        }));
        const secrets = new Secrets();
        const variables = {
          ...database.variables,
          AUTH: "on",
          KEY_ENCRYPTION_KEY: secrets.know(randomBytes(32).toString("base64")),
          LOG_LEVEL: "trace",
          LOG_FORMAT: format,
          LOG_CALLS_PER_SECOND: "1000",
          MAX_EVENT_LOOP_DELAY: "off",
          PASSWORD_MEMORY: "1MiB",
          PASSWORD_ITERATIONS: "1",
        };
        for (const secret of [holders.superuser.password, holders.apiKey.secret]) secrets.know(secret);

        const healthy = await startServerProcess(variables);
        cleanUpAfter(t, async () => void (await healthy.stop("SIGTERM")));
        const answers = await callWithSecrets(healthy, holders, secrets);
        for (const [what, answer] of Object.entries(answers)) assert.ok(answer, what);
        await healthy.stop("SIGTERM");

        await onDatabase(database.config, breakWrites);
        const broken = await startServerProcess(variables);
        cleanUpAfter(t, async () => void (await broken.stop("SIGTERM")));
        await callWithSecrets(broken, holders, secrets, answers.refreshed?.accessToken);
        await broken.stop("SIGTERM");

        const output = healthy.output() + broken.output();
        assert.match(broken.output(), /call failed unexpectedly/);
        for (const secret of secrets.all) {
          assert.ok(secret.length >= 12, "too short to look for");
          const at = output.indexOf(secret);
          assert.equal(at, -1, `${secret} is in the log: ${output.slice(Math.max(at - 500, 0), at + 500)}`);
        }
        assert.doesNotMatch(output, /\$argon2/);
      });
    }
  });
}

/** Whatever is written that is secret is refused, with the row in hand. */
async function breakWrites(database: Database): Promise<void> {
  await sql`
    create function fail() returns trigger language plpgsql as $$
    begin raise exception 'failed with %', new::text using detail = new::text; end $$`.execute(database);
  for (const table of ["refresh_tokens", "user_passwords", "api_keys", "idempotency_keys"]) {
    await sql`
      create trigger fail before insert or update on ${sql.table(table)}
      for each row execute function fail()`.execute(database);
  }
}

test("a database that cannot be reached is told of without its password", async () => {
  for (const format of ["json", "pretty"]) {
    const { stderr, stdout } = await runCommand(["serve"], {
      DATABASE_URL: "postgres://somebody:Planted-p@ssword@127.0.0.1:1/nowhere",
      KEY_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
      AUTH: "off",
      LISTEN: "127.0.0.1:0",
      LOG_LEVEL: "trace",
      LOG_FORMAT: format,
    });
    assert.ok(stderr !== "");
    assert.doesNotMatch(stderr + stdout, /Planted|ssword@/);
  }
});
