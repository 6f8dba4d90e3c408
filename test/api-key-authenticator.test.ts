import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { hashApiKey, mintApiKey } from "../src/api-keys/api-key-text.ts";
import { DatabaseUnavailableError } from "../src/platform/errors.ts";
import type { Database } from "../src/schema.ts";
import {
  type ApiKeySystem,
  anyKey,
  openApiKeySystem,
  removeApiKeys,
  warm,
} from "./support/api-key-system.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** The documented bound: a call that begins later than this after the commit is refused. */
const boundMs = 1_000;

/** Has just confirmed that nothing has changed, however slow the machine is. */
const unchanged = { current: () => 1n };

/**
 * Asks until the key is refused, makes sure that it stays so, and that no call that began after the bound was let in.
 *
 * @param endedAt when the end was known to be committed; `performance.now()`
 */
async function waitUntilRefused({ authenticator }: ApiKeySystem, secret: string, endedAt: number) {
  for (;;) {
    const askedAt = performance.now();
    if ((await authenticator.authenticate(secret)) === undefined) break;
    assert.ok(askedAt < endedAt + boundMs, `let in ${askedAt - endedAt} ms after the end`);
    await setImmediate();
  }
  for (let round = 0; round < 20; round++) {
    assert.equal(await authenticator.authenticate(secret), undefined);
    await setImmediate();
  }
}

async function readLastUse(database: Database, id: string): Promise<number | undefined> {
  const { rows } = await sql<{ last_used_at: Date | null }>`
    select last_used_at from api_keys where id = ${id}::uuid`.execute(database);
  return rows[0]?.last_used_at?.getTime();
}

for (const backend of backends) {
  describe(`telling good API keys on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function renew() {
      const ready = await shared.renew();
      await removeApiKeys(ready.database);
      return ready;
    }

    for (const [name, end] of [
      ["revoked", ({ keys }: ApiKeySystem, id: string) => keys.revoke(id)],
      [
        "rotated without grace",
        ({ keys }: ApiKeySystem, id: string) => keys.rotate(id, { graceMs: 0, createdBy: "user:1" }),
      ],
    ] as const) {
      test(`a key that is ${name} is refused by every replica within a second, and no other key is`, async (t) => {
        const ready = await renew();
        const replicas = [await openApiKeySystem(t, ready), await openApiKeySystem(t, ready)] as const;
        const [writer] = replicas;
        const { key, secret } = await writer.keys.create(anyKey);
        const { key: other, secret: otherSecret } = await writer.keys.create(anyKey);
        for (const { authenticator } of replicas) {
          assert.equal((await warm(authenticator, secret))?.id, key.id);
          await warm(authenticator, otherSecret);
        }
        await end(writer, key.id);
        const endedAt = performance.now();
        await Promise.all(replicas.map((replica) => waitUntilRefused(replica, secret, endedAt)));
        for (const { authenticator } of replicas) {
          assert.equal((await warm(authenticator, otherSecret))?.id, other.id);
        }
      });
    }

    test("a key that expires is refused from that moment on, from memory as well", async (t) => {
      let nowMs = Date.parse("2030-01-01T00:00:00Z");
      const { keys, authenticator } = await openApiKeySystem(t, await renew(), { now: () => nowMs });
      const { secret } = await keys.create({ ...anyKey, timeToLiveMs: 1_000 });
      assert.ok(await warm(authenticator, secret));
      nowMs += 999;
      assert.ok(await authenticator.authenticate(secret));
      nowMs += 1;
      assert.equal(await authenticator.authenticate(secret), undefined);
    });

    test("what was read before a revocation and arrives after it is not kept", async (t) => {
      const { keys, authenticator, lookups, watch } = await openApiKeySystem(t, await renew());
      const { secret: other } = await keys.create(anyKey);
      const { key, secret } = await keys.create(anyKey);
      await warm(authenticator, other);
      lookups.shut("frozen");
      const before = lookups.statements();
      const answer = authenticator.authenticate(secret);
      assert.ok(answer instanceof Promise);
      while (lookups.statements() === before) await setImmediate();
      const known = watch.current();
      await keys.revoke(key.id);
      while (watch.current() === known) await setImmediate();
      lookups.open();
      // The question is older than the revocation, so either answer is right; the next question is not.
      await answer;
      assert.equal(await authenticator.authenticate(secret), undefined);
    });

    for (const how of ["failing", "frozen"] as const) {
      test(`where the revision cannot be read (${how}), the database is asked, and its failure is the answer`, async (t) => {
        const system = await openApiKeySystem(t, await renew());
        const { keys, authenticator, lookups, reads } = system;
        const { key, secret } = await keys.create(anyKey);
        const { secret: bystander } = await keys.create(anyKey);
        await warm(authenticator, secret);
        await warm(authenticator, bystander);

        reads.shut(how);
        await keys.revoke(key.id);
        await waitUntilRefused(system, secret, performance.now());
        // By now nothing in memory is trusted, good or bad.
        lookups.shut(how);
        const late = withDeadline("a refusal", Promise.resolve(authenticator.authenticate(bystander)));
        await assert.rejects(late, DatabaseUnavailableError);
        await assert.rejects(async () => authenticator.authenticate(secret), DatabaseUnavailableError);

        lookups.open();
        reads.open();
        await warm(authenticator, bystander);
        assert.equal(await authenticator.authenticate(secret), undefined);
      });
    }

    test("keys that are known, and texts that are none, are answered without a query", async (t) => {
      const { keys, authenticator, lookups } = await openApiKeySystem(t, await renew(), { watch: unchanged });
      const issued = [];
      for (let made = 0; made < 5; made++) issued.push(await keys.create(anyKey));
      await keys.revoke(issued[4]?.key.id ?? "");
      const { secret: unknown } = mintApiKey();
      for (const secret of [...issued.map(({ secret }) => secret), unknown])
        await warm(authenticator, secret);

      const before = lookups.statements();
      for (let round = 0; round < 200; round++) {
        for (const [index, { key, secret }] of issued.entries()) {
          const answer = authenticator.authenticate(secret);
          assert.ok(!(answer instanceof Promise));
          assert.equal(answer?.id, index === 4 ? undefined : key.id);
        }
        assert.equal(authenticator.authenticate(unknown), undefined);
        for (const text of ["", "startup-readiness-check", `${unknown.slice(0, -1)}_`, "ubk_", "\0\ud800"]) {
          assert.equal(authenticator.authenticate(text), undefined);
        }
        // A typo: of the right form, but for its checksum.
        const typo = unknown.slice(0, 20) + (unknown[20] === "a" ? "b" : "a") + unknown.slice(21);
        assert.equal(authenticator.authenticate(typo), undefined);
      }
      assert.equal(lookups.statements(), before);
    });

    test("many who ask at once share one query, each with an answer of its own", async (t) => {
      const { keys, authenticator, lookups } = await openApiKeySystem(t, await renew());
      const issued = await Promise.all(Array.from({ length: 10 }, () => keys.create(anyKey)));
      const before = lookups.statements();
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          authenticator.authenticate(
            index % 2 === 0 ? mintApiKey().secret : (issued[index % 10]?.secret ?? ""),
          ),
        ),
      );
      assert.equal(lookups.statements() - before, 1);
      for (const [index, answer] of answers.entries()) {
        assert.equal(answer?.id, index % 2 === 0 ? undefined : issued[index % 10]?.key.id);
      }
    });

    test("garbage pushes no good key out of memory", async (t) => {
      const { keys, authenticator, lookups } = await openApiKeySystem(t, await renew(), {
        capacity: 5,
        watch: unchanged,
      });
      const { secret } = await keys.create(anyKey);
      await warm(authenticator, secret);
      for (let made = 0; made < 20; made++) await authenticator.authenticate(mintApiKey().secret);
      const before = lookups.statements();
      assert.ok(await authenticator.authenticate(secret));
      assert.equal(lookups.statements(), before);
    });

    test("the database has the hash of a key, its first characters, and no more of it", async (t) => {
      const ready = await renew();
      const { keys } = await openApiKeySystem(t, ready);
      const { key, secret } = await keys.create(anyKey);
      const { rows } = await sql<{ row: string; hash: string }>`
        select api_keys::text as row, encode(hash, 'hex') as hash from api_keys`.execute(ready.database);
      assert.equal(rows.length, 1);
      assert.equal(rows[0]?.hash, hashApiKey(secret));
      assert.equal(key.display, secret.slice(0, 12));
      assert.ok(rows[0]?.row.includes(key.display));
      assert.ok(!rows[0]?.row.includes(secret.slice(0, 13)) && !rows[0]?.row.includes(secret.slice(13)));
    });

    test("uses are written together, from time to time and at the end, and never backwards", async (t) => {
      const ready = await renew();
      const clock = { ms: Date.parse("2030-01-01T00:00:00Z") };
      const now = () => clock.ms;
      const system = await openApiKeySystem(t, ready, { now, writeUsesAfterMs: 20 });
      const { keys, authenticator, database, watch, lookups } = system;
      const [one, two, unused] = [
        await keys.create(anyKey),
        await keys.create(anyKey),
        await keys.create(anyKey),
      ];
      await warm(authenticator, one.secret);
      await warm(authenticator, two.secret);
      const revision = watch.current();
      clock.ms += 5_000;
      authenticator.authenticate(one.secret);
      while ((await readLastUse(database, one.key.id)) !== clock.ms) await setImmediate();
      assert.ok(((await readLastUse(database, two.key.id)) ?? 0) >= clock.ms - 5_000);
      assert.equal(await readLastUse(database, unused.key.id), undefined);
      assert.deepEqual((await keys.get(one.key.id)).lastUsedAt, new Date(clock.ms));

      // A replica whose clock is behind.
      const behind = await openApiKeySystem(t, ready, { now: () => clock.ms - 3_000 });
      assert.ok(await behind.authenticator.authenticate(one.secret));
      assert.ok(await behind.authenticator.authenticate(two.secret));
      await behind.authenticator.close();
      assert.equal(await readLastUse(database, one.key.id), clock.ms);
      assert.equal(await readLastUse(database, two.key.id), clock.ms - 3_000);

      // What cannot be written is tried again.
      clock.ms += 1_000;
      await warm(authenticator, one.secret);
      const before = lookups.statements();
      lookups.shut("failing");
      while (lookups.statements() < before + 3) await setImmediate();
      assert.equal(await readLastUse(database, one.key.id), clock.ms - 1_000);
      lookups.open();
      while ((await readLastUse(database, one.key.id)) !== clock.ms) await setImmediate();

      clock.ms += 1_000;
      assert.ok(await authenticator.authenticate(two.secret));
      await authenticator.close();
      assert.equal(await readLastUse(database, two.key.id), clock.ms);
      const changed = await sql<{ revision: bigint }>`select revision from access_head`.execute(database);
      assert.equal(changed.rows[0]?.revision, revision);
    });

    test("nobody reads the revision when nobody has asked for a while", async (t) => {
      const { keys, authenticator, reads } = await openApiKeySystem(t, await renew(), { idleMs: 300 });
      const { secret } = await keys.create(anyKey);
      assert.equal(reads.statements(), 0);
      // The second time, it is begun anew.
      for (let round = 0; round < 2; round++) {
        await warm(authenticator, secret);
        for (let silentSince = performance.now(), seen = reads.statements(); ; ) {
          await setImmediate();
          if (reads.statements() !== seen) {
            silentSince = performance.now();
            seen = reads.statements();
          }
          if (performance.now() - silentSince > 1_500) break;
        }
      }
    });
  });
}
