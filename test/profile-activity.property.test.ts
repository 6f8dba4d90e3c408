import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import type { Activity } from "../src/profiles/activity.ts";
import { backends } from "./support/databases.ts";
import { openProfileSystem, type ProfileSystem } from "./support/profile-system.ts";
import { useDatabase } from "./support/shared-database.ts";

/** How much of the random work to do; raise it to search longer. */
const scale = Number(process.env["TEST_SCALE"] ?? "1");

const texts = fc.string({ unit: "grapheme", maxLength: 8 }).filter((text) => !text.includes("\0"));
const drafts = fc.record({
  type: texts,
  description: texts,
  metadata: fc.dictionary(
    texts.filter((key) => key !== "__proto__"),
    texts,
    { noNullPrototype: true, maxKeys: 3 },
  ),
});
/** Of each number of users, the drafts that are recorded at the same time, one such group after the other. */
const histories = fc.array(fc.array(fc.array(drafts, { minLength: 1, maxLength: 4 }), { maxLength: 5 }), {
  minLength: 1,
  maxLength: 3,
});

async function readPages(system: ProfileSystem, userId: string, limit: number): Promise<Activity[]> {
  const all: Activity[] = [];
  for (;;) {
    const page = await system.activities.list(userId, { limit, offset: all.length });
    if (page.activities.length === 0) {
      assert.equal(page.total, all.length);
      return all;
    }
    assert.ok(page.activities.length <= limit);
    all.push(...page.activities);
  }
}

for (const backend of backends) {
  describe(`activity on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("is read page by page as it was recorded, newest first, each user's own, with its total", async (t) => {
      const system = await openProfileSystem(t, (await shared.renew()).database);
      await fc.assert(
        fc.asyncProperty(histories, fc.integer({ min: 1, max: 7 }), async (plan, limit) => {
          const users = await Promise.all(plan.map(() => system.createAccount()));
          await Promise.all(
            users.map(async ({ id: userId }, index) => {
              const groups: Set<string>[] = [];
              const recorded = new Map<string, unknown>();
              for (const group of plan[index] ?? []) {
                const ids = await Promise.all(group.map((draft) => system.activities.record(userId, draft)));
                groups.unshift(new Set(ids));
                for (const [place, id] of ids.entries()) recorded.set(id, { ...group[place], id, userId });
              }
              const read = await readPages(system, userId, limit);
              let next = 0;
              for (const group of groups) {
                // Those of one moment have no order among them, but come before all that was recorded earlier.
                const part = read.slice(next, next + group.size);
                assert.deepEqual(new Set(part.map(({ id }) => id)), group);
                next += group.size;
              }
              assert.equal(read.length, next);
              for (const { createdAt, ...activity } of read) {
                assert.deepEqual(activity, recorded.get(activity.id));
                assert.ok(createdAt instanceof Date);
              }
            }),
          );
        }),
        { numRuns: 25 * scale },
      );
    });

    test("comes before all that was recorded earlier, also where the database's clock was put back", async (t) => {
      const system = await openProfileSystem(t, (await shared.renew()).database);
      const { id } = await system.createAccount();
      const draft = { type: "view", description: "", metadata: {} };
      const recorded = [await system.activities.record(id, draft)];
      await sql`update user_activities set created_at = created_at + interval '1 hour'`.execute(
        system.database,
      );
      for (let more = 0; more < 5; more++) recorded.unshift(await system.activities.record(id, draft));
      const { activities } = await system.activities.list(id, { limit: 0, offset: 0 });
      assert.deepEqual(
        activities.map((activity) => activity.id),
        recorded,
      );
    });

    test("has pages of 50 unless asked otherwise, and of 1,000 at most", async (t) => {
      const system = await openProfileSystem(t, (await shared.renew()).database);
      const { id } = await system.createAccount();
      await sql`
        insert into user_activities (id, user_id, activity_type, description, metadata, created_at)
        select gen_random_uuid(), ${id}, 'view', '', '{}', now() from generate_series(1, 1100)`.execute(
        system.database,
      );
      for (const [limit, size] of [
        [0, 50],
        [1, 1],
        [1_000, 1_000],
        [1_001, 1_000],
        [2 ** 31 - 1, 1_000],
      ] as const) {
        const page = await system.activities.list(id, { limit, offset: 0 });
        assert.deepEqual([page.activities.length, page.total], [size, 1_100]);
      }
      const past = await system.activities.list(id, { limit: 1, offset: 2 ** 31 - 1 });
      assert.deepEqual([past.activities, past.total], [[], 1_100]);
    });
  });
}
