import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { useTestApp } from "./support/test-app.ts";

/** What is nobody's: an id of the right form, and a text that is no id. */
const unknownIds = ["01890000-0000-7000-8000-000000000000", "nobody"];

for (const backend of backends) {
  describe(`user.UserService on the ${backend.name} database`, () => {
    const app = useTestApp(backend);

    for (const [index, protocol] of protocols.entries()) {
      describe(protocol.name, () => {
        let auth: Client<typeof AuthService>;
        let profiles: Client<typeof ProfileService>;
        /** Emails of this protocol's own: all share one database. */
        const email = (text: string) => `profile${index}_${text}@example.com`;
        async function create(text: string, fullName = "Grace Hopper"): Promise<string> {
          const account = { email: email(text), password: "nanoseconds", fullName, isActive: true };
          return (await auth.createUser(account)).id;
        }
        before(() => {
          const transport = protocol.createTransport(app.url);
          auth = createClient(AuthService, transport);
          profiles = createClient(ProfileService, transport);
        });

        test("a profile is the account's until its owner says more", async () => {
          const userId = await create("fresh");
          const fresh = await profiles.getUserProfile({ userId });
          assert.deepEqual(
            [fresh.userId, fresh.email, fresh.fullName, fresh.displayName, fresh.website],
            [userId, email("fresh"), "Grace Hopper", "", ""],
          );
          assert.equal(fresh.createdAt, (await auth.getUser({ userId })).createdAt);
          const website = "https://example.com/grace";
          const changed = await profiles.updateUserProfile({
            userId,
            displayName: "Grace",
            bio: "Navy",
            website,
          });
          assert.deepEqual([changed.displayName, changed.bio, changed.website], ["Grace", "Navy", website]);
          const cleared = await profiles.updateUserProfile({ userId, bio: "", location: "Arlington" });
          assert.deepEqual(
            [cleared.displayName, cleared.bio, cleared.location, cleared.website],
            ["Grace", "", "Arlington", website],
          );
          assert.deepEqual(await profiles.getUserByEmail({ email: email("FRESH") }), cleared);
        });

        test("preferences have defaults, and keep what an update leaves out", async () => {
          const userId = await create("preferences");
          const defaults = await profiles.getUserPreferences({ userId });
          assert.deepEqual(
            [defaults.theme, defaults.language, defaults.notificationsEnabled, defaults.notificationChannels],
            ["system", "en", true, ["email"]],
          );
          const additionalPreferences = { density: "compact", "häufig: ja": "✓" };
          await profiles.updateUserPreferences({ userId, theme: "dark", additionalPreferences });
          const changed = await profiles.updateUserPreferences({
            userId,
            notificationsEnabled: false,
            notificationChannels: ["sms", "push"],
          });
          assert.deepEqual(
            [changed.theme, changed.notificationsEnabled, changed.notificationChannels],
            ["dark", false, ["sms", "push"]],
          );
          assert.deepEqual(changed.additionalPreferences, additionalPreferences);
          assert.deepEqual(await profiles.getUserPreferences({ userId }), changed);
        });

        test("activity is paged newest first, with the total of all pages", async () => {
          const userId = await create("activity");
          const ids: string[] = [];
          for (const activityType of ["login", "edit", "logout"]) {
            const metadata = { from: activityType };
            const recorded = await profiles.recordUserActivity({ userId, activityType, metadata });
            assert.equal(recorded.success, true);
            ids.unshift(recorded.activityId);
          }
          const first = await profiles.getUserActivity({ userId, limit: 2 });
          const rest = await profiles.getUserActivity({ userId, limit: 2, offset: 2 });
          assert.deepEqual(
            [...first.activities, ...rest.activities].map((activity) => activity.id),
            ids,
          );
          assert.deepEqual([first.totalCount, rest.totalCount], [3, 3]);
          assert.deepEqual(first.activities[0]?.metadata, { from: "logout" });
          assert.ok(
            first.activities.every((activity) => activity.userId === userId && activity.createdAt > 0n),
          );
        });

        test("a search finds by name, email and username, the most similar first", async () => {
          const mark = `zq${String.fromCharCode(97 + index)}x`;
          const exact = await create(`${mark}_one`, `Katherine ${mark}`);
          const near = await create("two", `Catherine ${mark}`);
          const found = await profiles.searchUsers({ query: `katherine ${mark}` });
          assert.equal(found.users[0]?.userId, exact);
          assert.ok(found.users.some((user) => user.userId === near));
          const byEmail = await profiles.searchUsers({ query: email(`${mark}_one`).toUpperCase() });
          assert.equal(byEmail.users[0]?.email, email(`${mark}_one`));
          assert.equal(byEmail.users[0]?.fullName, `Katherine ${mark}`);
          await auth.updateUser({ userId: exact, isActive: false });
          const active = await profiles.searchUsers({ query: mark, filters: ["active"] });
          assert.deepEqual(
            active.users.map((user) => user.userId),
            [near],
          );
          assert.equal(active.totalCount, 1);
          const page = await profiles.searchUsers({ query: mark, limit: 1, offset: 1 });
          assert.deepEqual([page.users.length, page.totalCount], [1, 2]);
          assert.equal((await profiles.searchUsers({ query: "%%%%" })).totalCount, 0);
        });

        test("wrong fields are INVALID_ARGUMENT and named", async () => {
          const userId = await create("fields");
          for (const [fields, call] of [
            [["user_id"], () => profiles.getUserProfile({})],
            [["avatar_url"], () => profiles.updateUserProfile({ userId, avatarUrl: "javascript:alert(1)" })],
            [["website"], () => profiles.updateUserProfile({ userId, website: "example" })],
            [["website"], () => profiles.updateUserProfile({ userId, website: "https://ada@example.com" })],
            [["website"], () => profiles.updateUserProfile({ userId, website: "https://?" })],
            [["bio"], () => profiles.updateUserProfile({ userId, bio: "a\0b" })],
            [["language"], () => profiles.updateUserPreferences({ userId, language: "English, please" })],
            [["limit"], () => profiles.getUserActivity({ userId, limit: -1 })],
            [["activity_type"], () => profiles.recordUserActivity({ userId })],
            [["email"], () => profiles.getUserByEmail({ email: "no" })],
            [["filters[0]"], () => profiles.searchUsers({ filters: ["rich"] })],
            [["offset"], () => profiles.searchUsers({ offset: 10_001 })],
          ] as const) {
            await expectError(call(), { code: Code.InvalidArgument, fields });
          }
        });

        test("whoever does not exist is NOT_FOUND, whatever is asked of it", async () => {
          const expected = { code: Code.NotFound, reason: "USER_NOT_FOUND" };
          for (const userId of unknownIds) {
            for (const call of [
              () => profiles.getUserProfile({ userId }),
              () => profiles.updateUserProfile({ userId, bio: "none" }),
              () => profiles.getUserPreferences({ userId }),
              () => profiles.updateUserPreferences({ userId, theme: "dark" }),
              () => profiles.getUserActivity({ userId }),
              () => profiles.recordUserActivity({ userId, activityType: "haunt" }),
            ]) {
              await expectError(call(), expected);
            }
          }
          await expectError(profiles.getUserByEmail({ email: email("nobody") }), expected);
        });

        test("its health is that of the process", async () => {
          for (const service of ["", "user", "user.UserService"]) {
            assert.equal((await profiles.healthCheck({ service })).status, true);
          }
          await expectError(profiles.healthCheck({ service: "auth" }), { code: Code.NotFound });
        });
      });
    }
  });
}
