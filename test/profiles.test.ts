import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { UserService } from "../gen/user/user_pb.ts";
import { createProfileHandler } from "../src/profiles/profile.handler.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { openProfileProcess, openProfileSystem, type ProfileSystem } from "./support/profile-system.ts";
import { protocols } from "./support/protocols.ts";
import { openTestHost } from "./support/server-pair.ts";
import { useDatabase } from "./support/shared-database.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const unknownIds = ["01890000-0000-7000-8000-000000000000", "nobody", "\0", "7"];
const gRPC = protocols.find(({ name }) => name.startsWith("gRPC proto")) ?? assert.fail("no gRPC");
const json = protocols.find(({ name }) => name === "connect json over HTTP/1.1") ?? assert.fail("no JSON");

async function serve(t: TestContext, system: ProfileSystem, isServing = () => true): Promise<string> {
  const { database, profiles, preferences, activities } = system;
  const health = {
    get isServing() {
      return isServing();
    },
  };
  const now = () => new Date();
  const answerWrite = createAnswerWrite({ database, now });
  const handler = createProfileHandler({ profiles, preferences, activities, answerWrite, health, now });
  return openTestHost(t, (router) => void router.service(UserService, handler));
}

async function readEvents({ database }: ProfileSystem, userId: string) {
  return database
    .selectFrom("user_events")
    .select(["type", "payload"])
    .where("user_id", "=", userId)
    .orderBy("revision")
    .execute();
}

for (const backend of backends) {
  describe(`user.UserService on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    for (const protocol of protocols) {
      test(`answers all its calls over ${protocol.name}`, async (t) => {
        const system = await openProfileSystem(t, (await shared.renew()).database);
        const client = createClient(UserService, protocol.createTransport(await serve(t, system)));
        await callEverything(client, system);
      });
    }

    describe("profiles", () => {
      let system: ProfileSystem;
      let client: Client<typeof UserService>;
      const open = async (t: TestContext) => {
        system = await openProfileSystem(t, (await shared.renew()).database);
        client = createClient(UserService, gRPC.createTransport(await serve(t, system)));
      };

      test("change field by field, clear what is empty, and are one event where anything differs", async (t) => {
        await open(t);
        const { id, email } = await system.createAccount();
        const first = await client.updateUserProfile({ userId: id, displayName: "Ada", bio: "Counts." });
        assert.deepEqual([first.displayName, first.bio, first.location], ["Ada", "Counts.", ""]);
        await client.updateUserProfile({ userId: id.toUpperCase(), displayName: "Ada" });
        await client.updateUserProfile({ userId: id });
        const second = await client.updateUserProfile({
          userId: id,
          bio: "",
          website: "https://example.com",
        });
        assert.deepEqual(
          [second.displayName, second.bio, second.website],
          ["Ada", "", "https://example.com"],
        );
        assert.deepEqual(await client.getUserProfile({ userId: id }), second);
        const events = await readEvents(system, id);
        assert.deepEqual(
          events.map(({ type, payload }) => [type, payload.email]),
          [
            ["user_registered", email],
            ["user_updated", email],
            ["user_updated", email],
          ],
        );
      });

      test("were updated when the account or the profile last was, whichever is later", async (t) => {
        await open(t);
        const { id } = await system.createAccount();
        const created = await client.getUserProfile({ userId: id });
        assert.equal(created.updatedAt, created.createdAt);
        await client.updateUserProfile({ userId: id, bio: "new" });
        await sql`update user_profiles set updated_at = updated_at + interval '1 hour'`.execute(
          system.database,
        );
        const profiled = await client.getUserProfile({ userId: id });
        assert.ok(profiled.updatedAt >= created.updatedAt + 3600n);
        await sql`update users set updated_at = now() + interval '1 day'`.execute(system.database);
        assert.ok((await client.getUserProfile({ userId: id })).updatedAt > profiled.updatedAt);
      });

      test("of a user who is deleted are gone, with preferences and activity", async (t) => {
        await open(t);
        const { id } = await system.createAccount();
        await client.updateUserProfile({ userId: id, bio: "new" });
        await client.updateUserPreferences({ userId: id, theme: "dark" });
        await client.recordUserActivity({ userId: id, activityType: "login" });
        await system.users.delete(id);
        for (const table of ["user_profiles", "user_preferences", "user_activities"] as const) {
          assert.deepEqual(await system.database.selectFrom(table).selectAll().execute(), [], table);
        }
      });

      test("of nobody are NOT_FOUND, whatever is asked", async (t) => {
        await open(t);
        for (const userId of unknownIds) {
          for (const call of [
            () => client.getUserProfile({ userId }),
            () => client.updateUserProfile({ userId, bio: "x" }),
            () => client.getUserPreferences({ userId }),
            () => client.updateUserPreferences({ userId, theme: "x" }),
            () => client.getUserActivity({ userId }),
            () => client.recordUserActivity({ userId, activityType: "x" }),
          ]) {
            await expectError(call(), { code: Code.NotFound, reason: "USER_NOT_FOUND" });
          }
        }
        const unknown = client.getUserByEmail({ email: "nobody@example.com" });
        await expectError(unknown, { code: Code.NotFound, reason: "USER_NOT_FOUND" });
      });

      test("take no text that the database cannot store, and say in which field it is", async (t) => {
        await open(t);
        const { id: userId } = await system.createAccount();
        for (const text of ["\0", "a\ud800", "\udc00b"]) {
          const faults: [fields: string[], call: () => Promise<unknown>][] = [
            [["bio"], () => system.profiles.update(userId, { bio: text, location: "fine" })],
            [["theme"], () => system.preferences.update(userId, { theme: text })],
            [
              ["notification_channels"],
              () => system.preferences.update(userId, { notificationChannels: [text] }),
            ],
            [
              ["additional_preferences"],
              () => system.preferences.update(userId, { additionalPreferences: { [text]: "" } }),
            ],
            [
              ["activity_type", "description", "metadata"],
              () =>
                system.activities.record(userId, { type: text, description: text, metadata: { a: text } }),
            ],
            [["query"], () => system.profiles.search({ text, limit: 0, offset: 0, filters: [] })],
          ];
          for (const [fields, call] of faults) {
            await assert.rejects(call(), (error: Error & { violations?: { field: string }[] }) => {
              assert.deepEqual(
                error.violations?.map(({ field }) => field),
                fields,
              );
              return true;
            });
          }
        }
        const overJson = createClient(UserService, json.createTransport(await serve(t, system)));
        await expectError(overJson.updateUserProfile({ userId, bio: "\0" }), {
          code: Code.InvalidArgument,
          fields: ["bio"],
        });
      });

      test("are found by search in its order, a page at a time, with the total of all", async (t) => {
        await open(t);
        for (const name of ["zoe", "zoe_b", "zoe_c"]) {
          await system.users.register({ email: `${name}@example.com`, username: name });
        }
        const all = await client.searchUsers({ query: "zoe" });
        assert.equal(all.totalCount, 3);
        const pages = [0, 1, 2, 3].map((offset) => client.searchUsers({ query: "zoe", limit: 1, offset }));
        const found = (await Promise.all(pages)).flatMap(({ users }) => users);
        assert.deepEqual(found, all.users);
        await expectError(client.searchUsers({ query: "zoe", filters: ["tall"] }), {
          code: Code.InvalidArgument,
        });
      });

      test("say whether the process serves", async (t) => {
        await open(t);
        let isServing = true;
        const url = await serve(t, system, () => isServing);
        const health = createClient(UserService, gRPC.createTransport(url));
        for (const service of ["", "user.UserService"]) {
          const { status, timestamp } = await health.healthCheck({ service });
          assert.equal(status, true);
          assert.ok(timestamp > 1_700_000_000n && timestamp <= BigInt(Math.floor(Date.now() / 1000)));
        }
        isServing = false;
        assert.equal((await health.healthCheck({})).status, false);
        await expectError(health.healthCheck({ service: "other" }), {
          code: Code.NotFound,
          reason: "SERVICE_UNKNOWN",
        });
      });
    });

    describe("changes at the same time", () => {
      /** Two processes where the database can have two. */
      const openTwo = async (t: TestContext) => {
        const { config, database } = await shared.renew();
        const one = await openProfileSystem(t, database);
        return [one, config.kind === "postgres" ? await openProfileProcess(t, config) : one] as const;
      };

      test("of different fields of one profile all hold, and each is one event", async (t) => {
        const [one, other] = await openTwo(t);
        for (let round = 0; round < 10; round++) {
          const { id } = await one.createAccount();
          const changes = [
            { displayName: "a" },
            { avatarUrl: "b" },
            { bio: "c" },
            { location: "d" },
            { website: "e" },
          ];
          await Promise.all(
            changes.map((change, index) => (index % 2 ? one : other).profiles.update(id, change)),
          );
          const { texts } = await one.profiles.get(id);
          assert.deepEqual(texts, Object.assign({}, ...changes));
          assert.equal((await readEvents(one, id)).length, 1 + changes.length);
        }
      });

      test("of different preferences of one user all hold, also where there were none before", async (t) => {
        const [one, other] = await openTwo(t);
        for (let round = 0; round < 10; round++) {
          const { id } = await one.createAccount();
          const changes = [
            { theme: "dark" },
            { language: "de" },
            { notificationsEnabled: false },
            { notificationChannels: ["sms"] },
            { additionalPreferences: { a: "b" } },
          ];
          await Promise.all(
            changes.map((change, index) => (index % 2 ? one : other).preferences.update(id, change)),
          );
          assert.deepEqual(await one.preferences.get(id), Object.assign({ userId: id }, ...changes));
        }
      });

      test("of the account and the profile are events that carry the user as the log's order has it", async (t) => {
        const [one, other] = await openTwo(t);
        const { id } = await one.createAccount();
        const renames = [1, 2, 3, 4, 5].map((n) =>
          one.users.update(id, { email: `renamed${n}@example.com` }),
        );
        const updates = [1, 2, 3, 4, 5].map((n) => other.profiles.update(id, { bio: `bio ${n}` }));
        await Promise.all([...renames, ...updates]);
        const events = await readEvents(one, id);
        assert.equal(events.length, 11);
        const emails = events.map(({ payload }) => payload.email);
        // A snapshot from outside the transaction would bring an old email back.
        const changes = emails.filter((email, index) => email !== emails[index - 1]);
        assert.equal(changes.length, 6, emails.join());
        assert.equal(emails.at(-1), (await one.accounts.get(id)).email);
      });
    });
  });
}

async function callEverything(client: Client<typeof UserService>, system: ProfileSystem): Promise<void> {
  const { id: userId, email, fullName, createdAt } = await system.createAccount();
  const seconds = BigInt(Math.floor(createdAt.getTime() / 1000));
  const profile = await client.getUserProfile({ userId });
  assert.deepEqual(
    [profile.userId, profile.email, profile.fullName, profile.displayName, profile.createdAt],
    [userId, email, fullName, "", seconds],
  );
  const updated = await client.updateUserProfile({ userId, displayName: "Ada" });
  assert.equal(updated.displayName, "Ada");
  assert.deepEqual(await client.getUserByEmail({ email: email.toUpperCase() }), updated);
  assert.deepEqual((await client.searchUsers({ query: email })).users[0], updated);

  const defaults = await client.getUserPreferences({ userId });
  assert.deepEqual(
    [defaults.userId, defaults.theme, defaults.language, defaults.notificationsEnabled],
    [userId, "system", "en", true],
  );
  assert.deepEqual([defaults.notificationChannels, defaults.additionalPreferences], [["email"], {}]);
  const changed = await client.updateUserPreferences({
    userId,
    notificationsEnabled: false,
    notificationChannels: ["sms", "push"],
    additionalPreferences: { density: "high", 'a"b': "" },
  });
  assert.deepEqual([changed.theme, changed.notificationsEnabled], ["system", false]);
  const kept = await client.updateUserPreferences({ userId, theme: "dark" });
  assert.deepEqual(kept, { ...changed, theme: "dark" });
  assert.deepEqual(await client.getUserPreferences({ userId }), kept);

  const metadata = { path: "/", "": "empty", quote: '"\\' };
  await expectError(client.recordUserActivity({ userId, activityType: "view", metadata }), {
    code: Code.InvalidArgument,
  });
  const recorded = await client.recordUserActivity({
    userId,
    activityType: "view",
    description: "Looked.",
    metadata: { path: "/" },
  });
  assert.equal(recorded.success, true);
  assert.match(recorded.activityId, uuidV7);
  const { activities, totalCount, userId: whose } = await client.getUserActivity({ userId });
  assert.deepEqual([totalCount, whose, activities.length], [1, userId, 1]);
  const { createdAt: at, $typeName: _, ...activity } = activities[0] ?? assert.fail("no activity");
  assert.deepEqual(activity, {
    id: recorded.activityId,
    userId,
    activityType: "view",
    description: "Looked.",
    metadata: { path: "/" },
  });
  assert.ok(at >= seconds);
}
