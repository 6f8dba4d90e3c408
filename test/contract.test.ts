import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { type UserEvent, UserEventsRequest_Start, UserService } from "../gen/users/v1/users_pb.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { protocols } from "./support/protocols.ts";
import { useTestApp } from "./support/test-app.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

for (const backend of backends) {
  describe(`users.v1.UserService on the ${backend.name} database`, () => {
    const app = useTestApp(backend);

    for (const [index, protocol] of protocols.entries()) {
      describe(protocol.name, () => {
        let client: Client<typeof UserService>;
        /** Names of this protocol's own: all share one database. */
        const name = (text: string) => `p${index}_${text}`;
        const email = (text: string) => `${name(text)}@example.com`;
        before(() => {
          client = createClient(UserService, protocol.createTransport(app.url));
        });

        test("a registered user is active and found by id, email and username, whatever their case", async () => {
          const registered = await client.registerUser({
            email: email("Ada").toUpperCase(),
            username: name("Ada").toUpperCase(),
          });
          assert.match(registered.id, uuidV7);
          assert.equal(registered.email, email("ada"));
          assert.equal(registered.username, name("ada"));
          assert.equal(registered.status, "active");
          for (const key of [
            { id: registered.id },
            { id: registered.id.toUpperCase() },
            { email: email("aDA") },
            { username: name("aDA") },
          ]) {
            const { user } = await client.getUser(key);
            assert.equal(user?.id, registered.id);
            assert.equal(user.isActive, true);
            assert.match(user.createdAt, rfc3339);
          }
        });

        test("a taken email or username is ALREADY_EXISTS with its reason, without regard to case", async () => {
          await client.registerUser({ email: email("bob"), username: name("bob") });
          await expectError(client.registerUser({ email: email("BOB"), username: name("bob2") }), {
            code: Code.AlreadyExists,
            reason: "EMAIL_TAKEN",
          });
          await expectError(client.registerUser({ email: email("bob2"), username: name("BOB") }), {
            code: Code.AlreadyExists,
            reason: "USERNAME_TAKEN",
          });
        });

        test("wrong fields are INVALID_ARGUMENT and all named", async () => {
          await expectError(client.registerUser({ email: "nobody", username: "9" }), {
            code: Code.InvalidArgument,
            reason: "INVALID_INPUT",
            fields: ["email", "username"],
          });
          await expectError(client.getUser({ id: "7" }), { code: Code.InvalidArgument, fields: ["id"] });
          await expectError(client.getUser({}), { code: Code.InvalidArgument, reason: "INVALID_INPUT" });
          await expectError(client.getUser({ email: email("x"), username: name("x") }), {
            code: Code.InvalidArgument,
            reason: "INVALID_INPUT",
          });
          await expectError(client.batchGetUsers({ ids: [] }), {
            code: Code.InvalidArgument,
            fields: ["ids"],
          });
          await expectError(client.listUsers({ pageToken: "made up" }), {
            code: Code.InvalidArgument,
            reason: "PAGE_TOKEN_INVALID",
            fields: ["page_token"],
          });
        });

        test("an unknown user is NOT_FOUND, whatever is asked of it", async () => {
          const id = "01890000-0000-7000-8000-000000000000";
          for (const call of [
            () => client.getUser({ id }),
            () => client.getUser({ email: email("nobody") }),
            () => client.getUser({ username: name("nobody") }),
            () => client.updateUser({ user: { id, email: email("nobody") } }),
            () => client.activateUser({ id }),
            () => client.deactivateUser({ id }),
            () => client.deleteUser({ id }),
          ]) {
            await expectError(call(), { code: Code.NotFound, reason: "USER_NOT_FOUND" });
          }
        });

        test("a batch answers in the order asked, each user once, leaving unknown ids out", async () => {
          const first = await client.registerUser({ email: email("b1"), username: name("b1") });
          const second = await client.registerUser({ email: email("b2"), username: name("b2") });
          const unknown = "01890000-0000-7000-8000-000000000000";
          const { users } = await client.batchGetUsers({ ids: [second.id, unknown, first.id, second.id] });
          assert.deepEqual(
            users.map((user) => user.id),
            [second.id, first.id],
          );
        });

        test("paging sees every user exactly once, oldest first", async () => {
          for (const text of ["l1", "l2", "l3"]) {
            await client.registerUser({ email: email(text), username: name(text) });
          }
          const seen: string[] = [];
          for (let pageToken = ""; ; ) {
            const page = await client.listUsers({ pageSize: 2, pageToken });
            assert.ok(page.users.length <= 2);
            seen.push(...page.users.map((user) => user.id));
            pageToken = page.nextPageToken;
            if (pageToken === "") break;
          }
          assert.deepEqual(seen, [...new Set(seen)].sort());
          const { users } = await client.listUsers({ pageSize: 1000 });
          assert.deepEqual(
            seen,
            users.map((user) => user.id),
          );
        });

        test("an update changes what its mask names and nothing else", async () => {
          const { id } = await client.registerUser({ email: email("u1"), username: name("u1") });
          const user = { id, email: email("U2"), username: name("U2") };
          const masked = await client.updateUser({ user, updateMask: { paths: ["email"] } });
          assert.deepEqual([masked.user?.email, masked.user?.username], [email("u2"), name("u1")]);
          const unmasked = await client.updateUser({ user: { id, username: name("u2") } });
          assert.deepEqual([unmasked.user?.email, unmasked.user?.username], [email("u2"), name("u2")]);
          await expectError(client.updateUser({ user, updateMask: { paths: ["is_active"] } }), {
            code: Code.InvalidArgument,
            fields: ["update_mask"],
          });
          await expectError(client.updateUser({ user: { id, email: "no" } }), {
            code: Code.InvalidArgument,
            fields: ["user.email"],
          });
          await expectError(client.updateUser({ user: { id } }), {
            code: Code.InvalidArgument,
            fields: ["update_mask"],
          });
          await client.registerUser({ email: email("u3"), username: name("u3") });
          await expectError(client.updateUser({ user: { id, email: email("u3") } }), {
            code: Code.AlreadyExists,
            reason: "EMAIL_TAKEN",
          });
          await expectError(client.updateUser({ user: { id, username: name("u3") } }), {
            code: Code.AlreadyExists,
            reason: "USERNAME_TAKEN",
          });
        });

        test("each change is one event, and a change of nothing is none", async () => {
          const { id } = await client.registerUser({ email: email("e1"), username: name("e1") });
          await client.activateUser({ id });
          await client.deactivateUser({ id });
          await client.deactivateUser({ id });
          await client.updateUser({ user: { id, email: email("e2") } });
          await client.updateUser({ user: { id, email: email("E2") } });
          await client.activateUser({ id });
          await client.deleteUser({ id });
          await expectError(client.deleteUser({ id }), { code: Code.NotFound });
          const events = await readUntil(client, id, "user_deleted");
          assert.deepEqual(
            events.map((event) => [event.type, event.payload?.email, event.payload?.isActive]),
            [
              ["user_registered", email("e1"), true],
              ["user_deactivated", email("e1"), false],
              ["user_updated", email("e2"), false],
              ["user_activated", email("e2"), true],
              ["user_deleted", email("e2"), true],
            ],
          );
          for (const event of events) {
            assert.match(event.id, uuidV7);
            assert.match(event.occurredAt, rfc3339);
            assert.equal(event.payload?.id, id);
          }
        });

        test("a deleted user's email and username are free again", async () => {
          const user = { email: email("d1"), username: name("d1") };
          const { id } = await client.registerUser(user);
          await client.deleteUser({ id });
          const again = await client.registerUser(user);
          assert.notEqual(again.id, id);
        });
      });
    }
  });
}

/** A user's events from the oldest on, up to the first of the given type. */
async function readUntil(
  client: Client<typeof UserService>,
  userId: string,
  type: string,
): Promise<UserEvent[]> {
  const events: UserEvent[] = [];
  const stream = client.streamUserEvents({ start: UserEventsRequest_Start.EARLIEST, userIds: [userId] });
  for await (const event of stream) {
    events.push(event);
    if (event.type === type) break;
  }
  return events;
}
