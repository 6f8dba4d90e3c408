import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { type KyselyPlugin, sql } from "kysely";
import { isDatabaseUnavailable } from "../src/platform/database-errors.ts";
import type { Database } from "../src/schema.ts";
import { UserNotFoundError } from "../src/users/user.errors.ts";
import { createUserService, type UserService } from "../src/users/user.service.ts";
import type { User } from "../src/users/user.ts";
import type { KeyColumn } from "../src/users/user-rows.ts";
import { backends } from "./support/databases.ts";
import { openLog, openProcess } from "./support/event-system.ts";
import { useDatabase } from "./support/shared-database.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const columns: readonly KeyColumn[] = ["id", "email", "username"];

/** What one actor does with a user of its own, one step after the other, beside all the others. */
type Step =
  | { readonly kind: "get"; readonly column: KeyColumn; readonly times: number; readonly upper: boolean }
  | { readonly kind: "get_other"; readonly column: KeyColumn; readonly value: string }
  | { readonly kind: "leave"; readonly column: KeyColumn }
  | { readonly kind: "rename"; readonly column: "email" | "username" }
  | { readonly kind: "set_active"; readonly isActive: boolean }
  | { readonly kind: "replace" };

const column = fc.constantFrom(...columns);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("get" as const),
      column,
      times: fc.integer({ min: 1, max: 3 }),
      upper: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("get_other" as const),
      column,
      // Among them what the database cannot even compare with.
      value: fc.constantFrom(
        "nobody",
        "nobody@example.com",
        "",
        "\0",
        "a\ud800",
        '"',
        "{",
        "\\",
        "0",
        "null",
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), column }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("rename" as const),
      column: fc.constantFrom("email" as const, "username" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("set_active" as const), isActive: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: "replace" as const }) },
);

let made = 0;
const nextName = () => {
  made += 1;
  return `user${made}`;
};

function register(users: UserService): Promise<User> {
  const username = nextName();
  return users.register({ email: `${username}@example.com`, username });
}

/** Looks up what was written before, which must be there, and what was given up, which must not. */
async function act(users: UserService, plan: readonly Step[]): Promise<void> {
  let user = await register(users);
  for (const step of plan) {
    switch (step.kind) {
      case "get": {
        const value = step.upper ? user[step.column].toUpperCase() : user[step.column];
        const gets = Array.from({ length: step.times }, () => users.get({ column: step.column, value }));
        for (const found of await Promise.all(gets)) assert.deepEqual(found, user);
        break;
      }
      case "get_other":
        await assert.rejects(users.get(step), UserNotFoundError);
        break;
      case "leave": {
        const caller = new AbortController();
        const answer = users.get({ column: step.column, value: user[step.column] }, caller.signal);
        caller.abort(new Error("left"));
        await assert.rejects(answer, /left/);
        break;
      }
      case "rename": {
        const [old, name] = [user[step.column], nextName()];
        const change = step.column === "email" ? { email: `${name}@example.com` } : { username: name };
        user = await users.update(user.id, change);
        await assert.rejects(users.get({ column: step.column, value: old }), UserNotFoundError);
        break;
      }
      case "set_active":
        user = await users.setActive(user.id, step.isActive);
        break;
      case "replace": {
        await users.delete(user.id);
        const gone = columns.map((key) => users.get({ column: key, value: user[key] }));
        for (const each of await Promise.allSettled(gone)) assert.equal(each.status, "rejected");
        user = await register(users);
      }
    }
  }
}

for (const backend of backends) {
  describe(`look-ups that share queries, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("find what their callers have written, and nothing else, whatever the others do", async (t) => {
      const { database } = await shared.renew();
      const { users } = await openLog(t, database);
      const plans = fc.array(fc.array(steps, { maxLength: 12 }), { minLength: 1, maxLength: 12 });
      await fc.assert(
        fc.asyncProperty(plans, async (actors) => {
          await withDeadline("all actors", Promise.all(actors.map((plan) => act(users, plan))));
        }),
        { numRuns: 20 * scale },
      );
    });

    test("of one turn are one query a column, and of more callers than a query takes a few", async (t) => {
      const { users, queries } = await openCounting(t, await shared.renew());
      const known = await Promise.all(Array.from({ length: 400 }, () => register(users)));
      queries.length = 0;
      const answers = await Promise.all(
        columns.flatMap((key) =>
          known.flatMap((user) => [user, user].map(() => users.get({ column: key, value: user[key] }))),
        ),
      );
      assert.deepEqual(answers.slice(0, 4), [known[0], known[0], known[1], known[1]]);
      assert.equal(queries.length, 2 * columns.length, queries.join("\n"));
    });

    test("fail with their query and with no other", async (t) => {
      const { database } = await shared.renew();
      const broken = { isBroken: false };
      const { users, writer } = await openLog(t, database);
      const failing = createUserService({
        database: database.withPlugin(failWhile(broken)),
        writer,
        now: () => new Date(),
      });
      const user = await register(users);
      broken.isBroken = true;
      const failed = await Promise.allSettled(
        [user.id, user.id, user.id].map((value) => failing.get({ column: "id", value })),
      );
      for (const each of failed) assert.match(String(each.status === "rejected" && each.reason), /broken/);
      broken.isBroken = false;
      assert.deepEqual(await failing.get({ column: "id", value: user.id }), user);
    });

    if (backend.name === "postgres") {
      test("have their own answer or the database's error while connections break at any moment", async (t) => {
        const { config, database } = await shared.renew();
        const { users } = await openProcess(t, config);
        const known = await Promise.all(Array.from({ length: 50 }, () => register(users)));
        let [found, failed, isOver] = [0, 0, false];
        const killing = killUntil(database, () => isOver);
        const callers = known.map(async (user, caller) => {
          for (let turn = 0; turn < 40 * scale; turn++) {
            const key = columns[(caller + turn) % columns.length] ?? "id";
            await users.get({ column: key, value: user[key] }).then(
              (answer) => {
                assert.deepEqual(answer, user);
                found += 1;
              },
              (error: unknown) => {
                assert.ok(isDatabaseUnavailable(error), String(error));
                failed += 1;
              },
            );
          }
        });
        await withDeadline("all callers", Promise.all(callers)).finally(() => (isOver = true));
        await killing;
        assert.ok(found > 0 && failed > 0, `${found} found, ${failed} failed`);
      });
    }
  });
}

async function openCounting(t: TestContext, { database }: { database: Database }) {
  const queries: string[] = [];
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      queries.push(node.kind);
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  const { writer } = await openLog(t, database);
  const users = createUserService({ database: database.withPlugin(plugin), writer, now: () => new Date() });
  return { users, queries };
}

function failWhile(state: { isBroken: boolean }): KyselyPlugin {
  return {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      if (state.isBroken) throw new Error("broken");
      return result;
    },
  };
}

async function killUntil(database: Database, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and application_name = 'user-bridge' and query like '%from users where%'`
      .execute(database)
      .catch(() => {});
    for (let turn = 0; turn < 10; turn++) await setImmediate();
  }
}
