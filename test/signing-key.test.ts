import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { answerJwks } from "../src/auth/jwks.ts";
import { KeyEncryptionKeyError } from "../src/auth/signing-key.errors.ts";
import { defaultLeadMs } from "../src/auth/signing-key.ts";
import { openSigningKeyBox } from "../src/auth/signing-key-encryption.ts";
import { openSigningKeyRing } from "../src/auth/signing-key-ring.ts";
import type { SigningKeyStore } from "../src/auth/signing-key-store.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { type ReadyDatabase, useDatabase } from "./support/shared-database.ts";
import {
  createTestAccount,
  createTestStore,
  openTokenSystem,
  removeSigningKeys,
  testEncryptionKey,
  tokenSettings,
} from "./support/token-system.ts";

const day = 24 * 3_600_000;
const rotationMs = 30 * day;

for (const backend of backends) {
  describe(`signing keys on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function renew(): Promise<ReadyDatabase> {
      const ready = await shared.renew();
      await removeSigningKeys(ready.database);
      return ready;
    }

    test("processes that start at once make one first key, and sign with it", async (t) => {
      const ready = await renew();
      const systems = await Promise.all(Array.from({ length: 4 }, () => openTokenSystem(t, ready)));
      const stored = await createTestStore(ready.database).read();
      assert.equal(stored.length, 1);
      for (const { keys } of systems) assert.equal(keys.signer().kid, stored[0]?.kid);
    });

    test("the key set verifies tokens offline, and holds no secret", async (t) => {
      const system = await openTokenSystem(t, await renew());
      const { accessToken } = await system.tokens.issue(await createTestAccount(system.accounts));
      const answer = answerJwks(system.keys);
      assert.match(answer.headers["cache-control"] ?? "", /max-age=300/);
      const jwks = JSON.parse(answer.body);
      assert.deepEqual(
        jwks.keys.map((key: object) => Object.keys(key).toSorted()),
        [["alg", "crv", "kid", "kty", "use", "x"]],
      );
      const { issuer, audience } = tokenSettings;
      await jwtVerify(accessToken, createLocalJWKSet(jwks), { issuer, audience });
    });

    test("a key is published before it signs; what it replaces verifies until its tokens are over", async (t) => {
      const ready = await renew();
      const clock = { ms: Date.now() };
      const system = await openTokenSystem(t, ready, { clock, keyPollIntervalMs: 1 });
      const replica = await openTokenSystem(t, ready, { clock, keyPollIntervalMs: 1 });
      const first = system.keys.signer().kid;
      const published = (count: number) =>
        until(() => [system, replica].every(({ keys }) => keys.published().length === count));

      clock.ms += rotationMs - defaultLeadMs - 1;
      assert.equal((await system.store.rotateIfDue(clock.ms)).length, 1);
      clock.ms += 1;
      await published(2);
      assert.equal(system.keys.signer().kid, first);
      const [, second] = (await system.store.read()).toSorted(
        (one, two) => one.signsFromMs - two.signsFromMs,
      );
      assert.equal(second?.signsFromMs, clock.ms + defaultLeadMs);

      clock.ms += defaultLeadMs - 1;
      const { accessToken } = await system.tokens.issue(await createTestAccount(system.accounts));
      assert.equal(decodeProtectedHeader(accessToken).kid, first);
      clock.ms += 1;
      for (const { keys } of [system, replica]) assert.equal(keys.signer().kid, second?.kid);

      // The last token of the first key expires, and then the key goes.
      clock.ms += tokenSettings.accessTtlMs - 1_001;
      assert.ok((await replica.tokens.validate(accessToken)).isValid);
      clock.ms += 1_001;
      assert.ok(!(await replica.tokens.validate(accessToken)).isValid);
      clock.ms += 60_000;
      assert.deepEqual(
        replica.keys.published().map((key) => key.kid),
        [second?.kid],
      );
      clock.ms += day + 1;
      await untilAsync(async () => (await system.store.read()).length === 1);
    });

    test("of processes that find a rotation due, one does it", async () => {
      const { database } = await renew();
      const now = Date.now();
      const stores = Array.from({ length: 4 }, () => createTestStore(database));
      for (const [round, count] of [1, 2, 2].entries()) {
        // By the third time, the first key has long been deleted.
        const reads = await Promise.all(stores.map((store) => store.rotateIfDue(now + round * rotationMs)));
        for (const keys of reads) assert.equal(keys.length, count);
      }
    });

    test("a key that has leaked is good for nothing at once, also for tokens that were good", async (t) => {
      const ready = await renew();
      const system = await openTokenSystem(t, ready, { keyPollIntervalMs: 1 });
      const account = await createTestAccount(system.accounts);
      const { accessToken, refreshToken } = await system.tokens.issue(account);
      assert.ok((await system.tokens.validate(accessToken)).isValid);

      const fresh = await createTestStore(ready.database).rotate(Date.now(), true);
      await until(() => system.keys.signer().kid === fresh.kid);
      assert.deepEqual(await system.tokens.validate(accessToken), { isValid: false });
      assert.deepEqual(
        system.keys.published().map((key) => key.kid),
        [fresh.kid],
      );
      const next = await system.tokens.refresh(refreshToken);
      assert.ok((await system.tokens.validate(next.accessToken)).isValid);
    });

    test("a replica knows a key that it has not heard of at the first token that names it", async (t) => {
      const ready = await renew();
      const replica = await openTokenSystem(t, ready);
      await createTestStore(ready.database).rotate(Date.now(), true);
      const system = await openTokenSystem(t, ready);
      const { accessToken } = await system.tokens.issue(await createTestAccount(system.accounts));
      assert.ok((await replica.tokens.validate(accessToken)).isValid);
    });

    test("tokens that name keys of their own invention cause one query at most", async (t) => {
      const { database } = await renew();
      const store = createTestStore(database);
      let reads = 0;
      const counting: SigningKeyStore = {
        ...store,
        read: () => {
          reads += 1;
          return store.read();
        },
      };
      const keys = await openSigningKeyRing(counting, testLogger, { pollIntervalMs: 2 ** 31 - 1 });
      t.after(() => keys.close());
      await Promise.all(Array.from({ length: 1_000 }, () => keys.lookAgain()));
      assert.equal(reads, 1);
    });

    test("a rotation by who cannot open the present key is refused and makes nothing", async (t) => {
      const { database } = await renew();
      const store = createTestStore(database, { keyEncryptionKeys: [testEncryptionKey] });
      const ring = await openSigningKeyRing(store, testLogger);
      t.after(() => ring.close());
      const before = await store.read();
      // The servers could not open what it makes, and in the end they would have no key to sign with.
      const stranger = createTestStore(database, { keyEncryptionKeys: [Buffer.alloc(32, 6)] });
      await assert.rejects(stranger.rotate(Date.now(), false), KeyEncryptionKeyError);
      assert.deepEqual(await store.read(), before);
    });

    test("a start without the key that encrypts is refused and says what mends it", async (t) => {
      const { database } = await renew();
      const open = async (...keys: Uint8Array[]) => {
        const store = createTestStore(database, { keyEncryptionKeys: keys });
        const ring = await openSigningKeyRing(store, testLogger);
        t.after(() => ring.close());
        return { store, ring };
      };
      const newKey = Buffer.alloc(32, 9);
      const { ring } = await open(testEncryptionKey);
      await assert.rejects(open(newKey), (error: unknown) => {
        assert.ok(error instanceof KeyEncryptionKeyError);
        assert.match(error.message, new RegExp(ring.signer().kid));
        assert.match(error.message, /KEY_ENCRYPTION_KEY.*user-bridge keys rotate --now/);
        return true;
      });
      // A new key in front of the old one opens all; what is made now opens without the old one.
      const both = await open(newKey, testEncryptionKey);
      assert.equal(both.ring.signer().kid, ring.signer().kid);
      await both.store.rotate(Date.now(), true);
      await open(newKey);
      await assert.rejects(open(testEncryptionKey), KeyEncryptionKeyError);
      // Where the key is lost, so are the signing keys, and the mending works without it.
      const lost = createTestStore(database, { keyEncryptionKeys: [Buffer.alloc(32, 5)] });
      await lost.rotate(Date.now(), true);
      await open(Buffer.alloc(32, 5));
    });

    test("one key's secret does not open in another key's row", async () => {
      const { database } = await renew();
      const store = createTestStore(database);
      const [first] = await store.rotateIfDue(Date.now());
      const second = await store.rotate(Date.now(), false);
      assert.ok(first && (await store.unseal(first)) && (await store.unseal(second)));
      assert.equal(await store.unseal({ ...second, sealedPrivateKey: first.sealedPrivateKey }), undefined);
    });

    test("no private key is in the database", async () => {
      const { database } = await renew();
      const [key] = await createTestStore(database).rotateIfDue(Date.now());
      const bytes = Buffer.from(key?.sealedPrivateKey ?? []);
      assert.ok(bytes.length > 100);
      assert.ok(!bytes.includes("PRIVATE KEY"));
      assert.ok(!("d" in (key?.publicJwk ?? {})));
    });
  });
}

describe("the key file of an embedded database", () => {
  async function makeFolder(t: TestContext): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "user-bridge-test-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  test("is made once, for its owner alone, also by processes that start at once", async (t) => {
    const folder = await makeFolder(t);
    const keyFile = join(folder, "data", "key-encryption-key");
    const boxes = await Promise.all(Array.from({ length: 8 }, () => openSigningKeyBox({ keyFile })));
    const sealed = boxes.map((box) => box.seal(Buffer.from("secret"), "row"));
    for (const box of [...boxes, await openSigningKeyBox({ keyFile })]) {
      for (const text of sealed) assert.equal(box.open(text, "row")?.toString(), "secret");
    }
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(folder, "data")), ["key-encryption-key"]);
  });

  test("is not replaced where it is damaged", async (t) => {
    const keyFile = join(await makeFolder(t), "key-encryption-key");
    await writeFile(keyFile, "damaged\n");
    await assert.rejects(openSigningKeyBox({ keyFile }), KeyEncryptionKeyError);
  });
});

/** Waits for a condition; the test runner's own limit ends a wait in vain. */
function until(condition: () => boolean): Promise<void> {
  return untilAsync(async () => condition());
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await setImmediate();
}
