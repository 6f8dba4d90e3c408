import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sql } from "kysely";
import { ApiKeyEndedError, ApiKeyNotFoundError } from "../src/api-keys/api-key.errors.ts";
import type { IssuedApiKey } from "../src/api-keys/api-key.service.ts";
import type { Database } from "../src/schema.ts";
import { openApiKeySystem, removeApiKeys } from "./support/api-key-system.ts";
import { backends } from "./support/databases.ts";
import { withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

/** A key as the contract describes it, written down a second time on purpose. Times are Unix milliseconds. */
interface ModelKey extends IssuedApiKey {
  endsAt: number;
  isRevoked: boolean;
  isRotated: boolean;
  lastUsedAt: number | undefined;
}

async function readRevision(database: Database): Promise<bigint> {
  const { rows } = await sql<{ revision: bigint }>`select revision from access_head`.execute(database);
  return rows[0]?.revision ?? 0n;
}

for (const backend of backends) {
  describe(`the life of API keys on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("is what the model says, whatever is done to them and whatever is in memory", async (t) => {
      const ready = await shared.renew();
      await removeApiKeys(ready.database);
      let nowMs = Date.parse("2030-01-01T00:00:00Z");
      /** As the watch would know it in the end. */
      let revision: bigint | undefined;
      const { database, keys, authenticator } = await openApiKeySystem(t, ready, {
        now: () => nowMs,
        watch: { current: () => revision },
        capacity: 8,
      });

      await withSeed(async (random) => {
        const model: ModelKey[] = [];
        const isGood = (key: ModelKey): boolean => !key.isRevoked && key.endsAt > nowMs;
        const add = (issued: IssuedApiKey, endsAt: number): void => {
          model.push({ ...issued, endsAt, isRevoked: false, isRotated: false, lastUsedAt: undefined });
        };

        async function create(): Promise<void> {
          const timeToLiveMs = random.oneIn(2) ? undefined : random.integer(1, 5_000);
          const scopes = random.oneIn(3) ? [] : ["users:write", "users:read", "users:read"];
          const issued = await keys.create({ name: "model", scopes, timeToLiveMs, createdBy: "user:1" });
          assert.deepEqual(issued.key.scopes, scopes.length === 0 ? [] : ["users:read", "users:write"]);
          add(issued, timeToLiveMs === undefined ? Number.POSITIVE_INFINITY : nowMs + timeToLiveMs);
        }

        async function revoke(target: ModelKey): Promise<void> {
          const before = target.key.revokedAt;
          const revoked = await keys.revoke(target.key.id);
          assert.deepEqual(revoked.revokedAt, target.isRevoked ? before : new Date(nowMs));
          target.isRevoked = true;
          Object.assign(target, { key: revoked });
        }

        async function rotate(target: ModelKey): Promise<void> {
          const graceMs = random.oneIn(2) ? 0 : random.integer(1, 5_000);
          const call = keys.rotate(target.key.id, { graceMs, createdBy: "user:2" });
          if (!isGood(target) || target.isRotated) {
            await assert.rejects(call, ApiKeyEndedError);
            return;
          }
          const { replaced, ...issued } = await call;
          assert.equal(issued.key.replaces, target.key.id);
          assert.deepEqual(
            [issued.key.name, issued.key.scopes, issued.key.createdBy],
            [target.key.name, target.key.scopes, "user:2"],
          );
          add(issued, target.endsAt);
          target.endsAt = Math.min(target.endsAt, nowMs + graceMs);
          target.isRotated = true;
          target.isRevoked = graceMs === 0;
          Object.assign(target, { key: replaced });
        }

        for (let step = 0; step < 150 * scale; step++) {
          const target = random.pickAny(model);
          const action = random.integer(0, 5);
          if (action <= 1 || target === undefined) await create();
          else if (action === 2) await revoke(target);
          else if (action === 3) await rotate(target);
          else nowMs += random.integer(0, 1_500);
          revision = random.oneIn(8) ? undefined : await readRevision(database);

          for (let check = 0; check < 6; check++) {
            const asked = random.pickAny(model);
            if (asked === undefined) continue;
            const found = await authenticator.authenticate(asked.secret);
            assert.equal(found?.id, isGood(asked) ? asked.key.id : undefined);
            if (found !== undefined) {
              assert.deepEqual([...found.scopes], asked.key.scopes);
              assert.equal(found.display, asked.key.display);
              asked.lastUsedAt = nowMs;
            }
          }
          const fetched = random.pickAny(model);
          if (fetched !== undefined) assert.deepEqual(await keys.get(fetched.key.id), fetched.key);
        }

        await authenticator.close();
        const listed = [];
        for (let token = ""; ; ) {
          const page = await keys.list({ size: random.integer(1, 20), token });
          listed.push(...page.keys);
          if (page.nextToken === "") break;
          token = page.nextToken;
        }
        const newestFirst = model
          .map(({ key, lastUsedAt }) => ({
            ...key,
            lastUsedAt: lastUsedAt === undefined ? undefined : new Date(lastUsedAt),
          }))
          .sort((one, other) => (one.id < other.id ? 1 : -1));
        assert.deepEqual(listed, newestFirst);
        const times = listed.map(({ createdAt }) => createdAt.getTime());
        assert.deepEqual(
          times,
          times.toSorted((one, other) => other - one),
        );
      });
    });

    test("of many rotations of one key at once, one makes a key, and the others are told that it has ended", async (t) => {
      const ready = await shared.renew();
      await removeApiKeys(ready.database);
      const system = await openApiKeySystem(t, ready);
      const other = await openApiKeySystem(t, ready);
      for (const graceMs of [0, 60_000]) {
        const { key } = await system.keys.create({
          name: "raced",
          scopes: [],
          timeToLiveMs: undefined,
          createdBy: "user:1",
        });
        const outcomes = await Promise.allSettled(
          Array.from({ length: 8 }, (_, index) =>
            (index % 2 === 0 ? system : other).keys.rotate(key.id, { graceMs, createdBy: `user:${index}` }),
          ),
        );
        const won = outcomes.filter((outcome) => outcome.status === "fulfilled");
        assert.equal(won.length, 1);
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") assert.ok(outcome.reason instanceof ApiKeyEndedError);
        }
        const { keys } = await system.keys.list({ size: 0, token: "" });
        assert.deepEqual(
          keys.filter(({ replaces }) => replaces === key.id),
          won.map(({ value }) => value.key),
        );
      }
    });

    test("a rotation that is lost, as by its caller's leaving, has made nothing and ended nothing", async (t) => {
      const ready = await shared.renew();
      await removeApiKeys(ready.database);
      const { database, keys } = await openApiKeySystem(t, ready);
      const { key } = await keys.create({
        name: "kept",
        scopes: ["a"],
        timeToLiveMs: 60_000,
        createdBy: "user:1",
      });
      const before = await readRevision(database);
      const left = new Error("left");
      const rotation = { graceMs: 0, createdBy: "user:1" };
      await assert.rejects(keys.rotate(key.id, rotation, AbortSignal.abort(left)), left);
      await assert.rejects(keys.revoke(key.id, AbortSignal.abort(left)), left);
      const failure = new Error("the record cannot be made");
      const failing = {
        aborted: false,
        reason: undefined,
        record: () => {
          throw failure;
        },
      };
      await assert.rejects(keys.rotate(key.id, rotation, failing), failure);
      await assert.rejects(keys.revoke(key.id, failing), failure);
      assert.deepEqual((await keys.list({ size: 0, token: "" })).keys, [key]);
      assert.equal(await readRevision(database), before);
    });

    test("an id that is nobody's, or none, is not found", async (t) => {
      const { keys } = await openApiKeySystem(t, await shared.renew());
      const rotation = { graceMs: 0, createdBy: "user:1" };
      for (const id of [crypto.randomUUID(), "", "nobody", "\0", "\ud800"]) {
        await assert.rejects(keys.get(id), ApiKeyNotFoundError);
        await assert.rejects(keys.revoke(id), ApiKeyNotFoundError);
        await assert.rejects(keys.rotate(id, rotation), ApiKeyNotFoundError);
      }
    });
  });
}
