import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Code } from "../../src/client/exports.ts";
import { type CursorStore, followUserEvents } from "../../src/client/follow-user-events.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { UserEventsRefusedError } from "../../src/client/user-events-refused.ts";
import { encodeCursor } from "../../src/events/cursor.ts";
import { removeExpiredEvents } from "../../src/events/event-retention.ts";
import { appendBareEvents } from "../support/bulk-events.ts";
import { backends } from "../support/databases.ts";
import { openLog } from "../support/event-system.ts";
import { serveLog } from "../support/serve-log.ts";
import { type SharedDatabase, useDatabase } from "../support/shared-database.ts";
import { withDeadline } from "../support/with-deadline.ts";
import { startFollower } from "./follower.ts";

const [backend] = backends;
assert.ok(backend);

/** A server in this process, on an empty log. */
async function serve(t: TestContext, shared: SharedDatabase) {
  const { database } = await shared.renew();
  const system = await openLog(t, database);
  const client = createUserBridgeClient({ baseUrl: await serveLog(t, system) });
  const register = (username: string) => client.registerUser({ email: `${username}@example.com`, username });
  return { database, system, client, register };
}

describe("the place of followUserEvents", () => {
  const shared = useDatabase(backend);

  test("is kept in the store once an event has been dealt with, so that another life goes on there", async (t) => {
    const { client, register } = await serve(t, shared);
    for (const username of ["one", "two", "three"]) await register(username);
    let saved = "";
    const store: CursorStore = {
      load: () => saved,
      save: async (cursor) => {
        saved = cursor;
      },
    };
    const seen: (string | undefined)[] = [];
    for (const lastOfLife of ["two", "three"]) {
      for await (const { payload } of followUserEvents(client, { start: "earliest", store })) {
        seen.push(payload?.username);
        // Left in the middle of its work, as by a crash: that event comes again.
        if (payload?.username === lastOfLife) break;
      }
    }
    assert.deepEqual(seen, ["one", "two", "two", "three"]);
  });

  test("begins now, with the oldest event or behind a cursor, by type and by user", async (t) => {
    const { client, register } = await serve(t, shared);
    const { id } = await register("one");
    await register("two");
    await client.deactivateUser({ id });
    const all = startFollower(t, client, { start: "earliest" });
    await all.until("three events", ({ events }) => events.length === 3);
    const after = all.events[0]?.cursor ?? "";
    const now = startFollower(t, client);
    const behind = startFollower(t, client, { after });
    const one = startFollower(t, client, { start: "earliest", userIds: [id] });
    const types = startFollower(t, client, { start: "earliest", types: ["user_deactivated"] });
    for (const follower of [now, behind, one, types]) {
      await follower.until("the stream to begin", ({ statuses }) => statuses.length === 1);
    }
    await register("three");
    await client.deactivateUser({ id: all.events[1]?.payload?.id ?? "" });
    const expected = new Map([
      [now, ["three", "two"]],
      [behind, ["two", "one", "three", "two"]],
      [one, ["one", "one"]],
      [types, ["one", "two"]],
    ]);
    for (const [follower, usernames] of expected) {
      await follower.until("its events", ({ events }) => events.length === usernames.length);
      await follower.stop();
      assert.deepEqual(follower.usernames(), usernames);
    }
  });

  test("that the server refuses ends the loop with the reason, and where the log begins now", async (t) => {
    const { client, database, system } = await serve(t, shared);
    await appendBareEvents(database, { count: 3, secondsOld: 60 });
    await system.tailer.catchUp();
    const first = startFollower(t, client, { start: "earliest" });
    await first.until("the events", ({ events }) => events.length === 3);
    await removeExpiredEvents(database, 30_000, new Date());
    await appendBareEvents(database, { count: 1 });
    await system.tailer.catchUp();
    const { databaseId } = system.tailer.state;
    const foreign = "01890000-0000-7000-8000-000000000000";
    for (const [after, code, reason] of [
      ["made up", Code.InvalidArgument, "CURSOR_INVALID"],
      [encodeCursor({ databaseId: foreign, revision: 1n }), Code.FailedPrecondition, "CURSOR_FOREIGN"],
      [encodeCursor({ databaseId, revision: 99n }), Code.FailedPrecondition, "CURSOR_AHEAD"],
      [first.events[0]?.cursor ?? "", Code.OutOfRange, "CURSOR_COMPACTED"],
    ] as const) {
      const refusal: unknown = await withDeadline(
        "a refusal",
        followUserEvents(client, { after })
          .next()
          .catch((error: unknown) => error),
      );
      assert.ok(refusal instanceof UserEventsRefusedError);
      assert.deepEqual([refusal.code, refusal.reason], [code, reason]);
      if (reason !== "CURSOR_COMPACTED") {
        assert.equal(refusal.earliestCursor, undefined);
        continue;
      }
      const again = startFollower(t, client, { after: refusal.earliestCursor ?? "" });
      await again.until("the oldest event that is left", ({ events }) => events.length === 1);
      assert.equal(again.events[0]?.revision, 4n);
    }
  });
});
