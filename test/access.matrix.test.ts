import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type App, startApp } from "../src/app.ts";
import { createAccessTokens } from "../src/auth/access-token.ts";
import { toSigningKeyTimes } from "../src/auth/signing-key.ts";
import { openSigningKeyRing } from "../src/auth/signing-key-ring.ts";
import { createSigningKeyStore } from "../src/auth/signing-key-store.ts";
import { createSecretBox } from "../src/platform/secret-box.ts";
import { policy } from "../src/policy.ts";
import { listInternalServices, listServices } from "../src/routes.ts";
import type { Database } from "../src/schema.ts";
import { bearer } from "./support/callers.ts";
import { createAuthority, createTlsFiles } from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createApiKey, createUser, logIn, onDatabase, type TestAccount } from "./support/credentials.ts";
import { backends, testKeyEncryptionKey } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { type CallerKind, checkCall, listCalls, type Subjects } from "./support/matrix.ts";
import { type Protocol, protocols } from "./support/protocols.ts";
import { type GuardedApp, startGuardedApp, testConfig } from "./support/test-app.ts";

const permissions = [
  ...new Set([...policy.values()].flatMap((rule) => (rule.kind === "permission" ? [rule.permission] : []))),
];
const everyService = testConfig({}).services;
const common = [Health, ServerReflection, ServerReflectionAlpha];
const listeners = {
  public: [...listServices(everyService), ...common],
  internal: [...listInternalServices(everyService), ...common],
};

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** The credentials that no running program gives. */
async function prepare(database: Database) {
  const [plain, other] = [await createUser(database), await createUser(database)];
  const revoked = await createApiKey(database, permissions);
  await database
    .updateTable("api_keys")
    .set({ revoked_at: new Date() })
    .where("id", "=", revoked.id)
    .execute();
  const exact = new Map<string, string>();
  const allOthers = new Map<string, string>();
  for (const permission of permissions) {
    exact.set(permission, (await createApiKey(database, [permission])).secret);
    const others = permissions.filter((other) => other !== permission);
    allOthers.set(permission, (await createApiKey(database, others)).secret);
  }
  const any = (await createApiKey(database, permissions)).secret;
  return {
    plain,
    other,
    revoked: revoked.secret,
    exact,
    allOthers,
    any,
    expired: await makeExpiredToken(database, plain),
  };
}

async function makeExpiredToken(database: Database, { id }: TestAccount): Promise<string> {
  const { tokens } = testConfig({});
  const box = createSecretBox([Buffer.from(testKeyEncryptionKey, "base64")]);
  const keys = await openSigningKeyRing(
    createSigningKeyStore(database, box, toSigningKeyTimes(tokens)),
    testLogger,
  );
  const twoTtlsAgo = Date.now() - 2 * tokens.accessTtlMs;
  try {
    return await createAccessTokens(keys, tokens, () => twoTtlsAgo).issue({ id, tokenEpoch: 0 });
  } finally {
    await keys.close();
  }
}

async function listKinds(app: GuardedApp<Prepared>): Promise<CallerKind[]> {
  const { plain, revoked, expired, exact, allOthers, any } = app.prepared;
  const token = await logIn(app.url, plain);
  const nobody = (name: string, nobodyBecause: string, fields: Record<string, string>): CallerKind => ({
    name,
    fields: () => fields,
    nobodyBecause,
    holds: () => false,
  });
  return [
    nobody("nobody", "CREDENTIAL_MISSING", {}),
    nobody("somebody with garbage", "CREDENTIAL_INVALID", bearer("garbage")),
    nobody("somebody with an expired token", "CREDENTIAL_INVALID", bearer(expired)),
    nobody("somebody with a revoked key", "CREDENTIAL_INVALID", { "x-api-key": revoked }),
    nobody("somebody with two credentials", "CREDENTIALS_AMBIGUOUS", { ...app.headers, "x-api-key": any }),
    { name: "a user, about another", fields: () => bearer(token), holds: () => false },
    { name: "a user, about itself", fields: () => bearer(token), holds: () => false, asksAboutItself: true },
    { name: "a superuser", fields: () => app.headers, holds: () => true },
    {
      name: "a key with the permission",
      fields: (permission) => ({ "x-junjo-api-key": exact.get(permission ?? "users:read") ?? "" }),
      holds: () => true,
    },
    {
      name: "a key with every other permission",
      fields: (permission) => bearer(allOthers.get(permission ?? "users:read") ?? ""),
      holds: () => false,
    },
  ];
}

const [embedded] = backends;
assert.ok(embedded);

/** Connect-es decides nothing by the codec before a call is let in, and the lane no more by a certificate. */
const binary = protocols.filter(({ name }) => name.includes("proto"));

/** Makes all calls, several at a time. */
async function checkAll(
  app: Pick<App, "url" | "internalUrl">,
  subjects: Subjects,
  kinds: readonly CallerKind[],
  spoken: readonly Protocol[],
  nodeOptions: object = {},
): Promise<number> {
  assert.ok(app.internalUrl);
  let made = 0;
  for (const [url, services] of [
    [app.url, listeners.public],
    [app.internalUrl, listeners.internal],
  ] as const) {
    const transports = new Map(
      spoken.map((protocol) => [protocol, protocol.createTransport(url, nodeOptions)]),
    );
    const calls = listCalls(services, kinds, spoken).values();
    const work = async (): Promise<void> => {
      for (const call of calls) {
        const transport = transports.get(call.protocol);
        assert.ok(transport);
        await checkCall(call, transport, subjects);
        made += 1;
      }
    };
    await Promise.all(Array.from({ length: 16 }, work));
  }
  return made;
}

describe("every RPC lets in whom the policy does, whichever protocol they speak", () => {
  for (const [lane, spoken] of [
    ["on", protocols],
    ["off", binary],
  ] as const) {
    test(`with a token or a key, lane ${lane}`, async (t) => {
      const app = await startGuardedApp((end) => cleanUpAfter(t, end), embedded, { lane }, prepare);
      const subjects = { self: app.prepared.plain, other: app.prepared.other };
      const made = await checkAll(app, subjects, await listKinds(app), spoken);
      assert.ok(made > 2_500, `${made} calls`);
    });
  }

  test("with a certificate", async (t) => {
    const authority = await createAuthority("authority");
    const { certPath, keyPath, clientCaPath } = await createTlsFiles(
      t,
      await authority.issue({ commonName: "server", purpose: "server" }),
      authority,
    );
    const directory = await mkdtemp(join(tmpdir(), "user-bridge-principals-"));
    cleanUpAfter(t, () => rm(directory, { recursive: true }));
    const clientPrincipalsPath = join(directory, "principals.json");
    const principals = [
      { name: "everything", dns: "everything.example.com", permissions },
      { name: "nothing", dns: "nothing.example.com", permissions: [] },
    ];
    await writeFile(clientPrincipalsPath, JSON.stringify({ principals }));
    const tls = { certPath, keyPath, clientCaPath, clientSpkiPins: [], clientAuth: "required" } as const;
    const server = { ca: authority.cert };
    const shown = (name: string) => authority.issue({ dns: [`${name}.example.com`], purpose: "client" });
    const internal = { listen: { host: "127.0.0.1", port: 0 }, tls };
    const database = await embedded.create();
    cleanUpAfter(t, database.drop);
    const subjects = await onDatabase(database.config, async (queries) => ({
      self: await createUser(queries),
      other: await createUser(queries),
    }));
    const config = testConfig({
      database: database.config,
      auth: "on",
      reflection: true,
      tls,
      internal,
      clientPrincipalsPath,
    });
    const app = await startApp(config, testLogger);
    cleanUpAfter(t, app.close);
    const kind = (name: string, holds: boolean, nobodyBecause?: string): CallerKind => ({
      name,
      fields: () => ({}),
      holds: () => holds,
      ...(nobodyBecause !== undefined && { nobodyBecause }),
    });
    for (const [name, of] of [
      ["everything", kind("a certificate with every permission", true)],
      ["nothing", kind("a certificate with no permission", false)],
      ["nobody", kind("a certificate that is nobody's", false, "CREDENTIAL_MISSING")],
    ] as const) {
      await checkAll(app, subjects, [of], binary, { ...server, ...(await shown(name)) });
    }
  });
});
