import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type HandlerContext } from "@connectrpc/connect";
import {
  type UserEventSchema,
  type UserEventsRequest,
  UserEventsRequestSchema,
  UserService,
} from "../../gen/users/v1/users_pb.ts";
import { followUserEvents } from "../../src/client/follow-user-events.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { withDeadline } from "../support/with-deadline.ts";
import { startFollower } from "./follower.ts";

type Message = MessageInitShape<typeof UserEventSchema>;

const event = (revision: bigint): Message => ({
  type: "user_registered",
  cursor: `c${revision}`,
  revision,
  payload: { username: `user${revision}` },
});
const progress = (revision: bigint): Message => ({ type: "progress", cursor: `c${revision}`, revision });

/** Ends a stream without an error; one that nothing ends goes on in silence. */
const end = "end";

/** A server in memory whose n-th stream is the n-th of the scripts. A number is a silence in milliseconds. */
function scriptStreams(...streams: readonly (readonly (Message | Error | number | typeof end)[])[]) {
  const requests: UserEventsRequest[] = [];
  const contexts: HandlerContext[] = [];
  const transport = createRouterTransport(({ rpc }) => {
    rpc(UserService.method.streamUserEvents, async function* (request, context) {
      const stream = streams[requests.length] ?? [];
      requests.push(create(UserEventsRequestSchema, request));
      contexts.push(context);
      for (const message of stream) {
        if (message === end) return;
        if (message instanceof Error) throw message;
        if (typeof message === "number") await delay(message);
        else yield message;
      }
      await untilAborted(context.signal);
    });
  });
  return { client: createUserBridgeClient({ transport }), requests, contexts };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve());
    if (signal.aborted) resolve();
  });
}

const isLive = (state: string) => state === "live";

const lost = new ConnectError("lost", Code.Unavailable);

describe("a followed stream", () => {
  test("that repeats itself gives no event twice, and does not move the place back", async (t) => {
    const { client, requests } = scriptStreams(
      [progress(0n), event(1n), event(2n), lost],
      [event(1n), event(2n), progress(1n), event(3n), event(3n), end],
      [progress(3n), event(4n)],
    );
    const follower = startFollower(t, client);
    await follower.until("four events", ({ events }) => events.length === 4);
    await follower.stop();
    assert.deepEqual(follower.usernames(), ["user1", "user2", "user3", "user4"]);
    assert.deepEqual(
      requests.map((request) => request.afterCursor),
      ["", "c2", "c3"],
    );
  });

  test("begins where asked until it has a cursor, also if the first attempts fail", async (t) => {
    const { client, requests } = scriptStreams([lost], [lost], [progress(7n), lost], [progress(8n)]);
    const follower = startFollower(t, client, { start: "earliest", types: ["user_deleted"] });
    await follower.until(
      "the second stream that begins",
      (seen) => seen.states().filter(isLive).length === 2,
    );
    await follower.stop();
    assert.deepEqual(
      requests.map(({ afterCursor, start, types }) => [afterCursor, start, types]),
      ["", "", "", "c7"].map((cursor) => [cursor, 1, ["user_deleted"]]),
    );
    assert.equal(requests[0]?.progressInterval?.seconds, 10n);
  });

  test("counts as dead after three silent intervals, but has longer to begin", async (t) => {
    const { client } = scriptStreams([400, progress(1n), 400, event(2n)], [400, event(3n)]);
    const follower = startFollower(t, client, { progressIntervalMs: 100 });
    await follower.until("an event", ({ events }) => events.length === 1);
    await follower.stop();
    assert.deepEqual(follower.usernames(), ["user3"]);
    assert.deepEqual(follower.states().slice(0, 3), ["live", "reconnecting", "live"]);
  });

  test("ends on the server, too, when its loop is left or its signal aborts, without an error", async () => {
    const { client, contexts } = scriptStreams([event(1n), event(2n)], []);
    for await (const { revision } of followUserEvents(client)) {
      assert.equal(revision, 1n);
      break;
    }
    const leaving = new AbortController();
    const followed = followUserEvents(client, { signal: leaving.signal });
    const next = followed.next();
    assert.equal(contexts.length, 1);
    leaving.abort();
    assert.deepEqual(await withDeadline("the end", next), { done: true, value: undefined });
    for (const context of contexts) await withDeadline("the server to hear", untilAborted(context.signal));
    const never = followUserEvents(client, { signal: AbortSignal.abort() });
    assert.equal((await never.next()).done, true);
    assert.equal(contexts.length, 1);
  });

  test("hands on what its store or its observer throws, and leaves the stream", async () => {
    const broken = new Error("disk full");
    const fail = () => Promise.reject(broken);
    for (const options of [
      { store: { load: fail, save: fail } },
      { store: { load: () => undefined, save: fail } },
      {
        onStatus: () => {
          throw broken;
        },
      },
    ]) {
      const { client, contexts } = scriptStreams([progress(1n), event(2n)]);
      await assert.rejects(followUserEvents(client, options).next(), broken);
      for (const context of contexts) await withDeadline("the server to hear", untilAborted(context.signal));
    }
  });
});
