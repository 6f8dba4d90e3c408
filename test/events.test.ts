import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { before, describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { sql } from "kysely";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import {
  UserEventsRequest_Start as Start,
  type UserEvent,
  type UserEventsRequestSchema,
  UserService,
} from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { createCommittedEvents } from "../src/events/committed-events.ts";
import { decodeCursor, encodeCursor } from "../src/events/cursor.ts";
import { CursorAheadError, CursorCompactedError, ForeignCursorError } from "../src/events/event.errors.ts";
import { everyEvent, type LoggedEvent } from "../src/events/event.ts";
import { openEventNotifier } from "../src/events/event-notifier.ts";
import { removeExpiredEvents, startEventRetention } from "../src/events/event-retention.ts";
import { createEventRing } from "../src/events/event-ring.ts";
import type { StreamRequest } from "../src/events/event-stream.ts";
import { DatabaseUnavailableError } from "../src/platform/errors.ts";
import { createLogger } from "../src/platform/logger.ts";
import type { Database } from "../src/schema.ts";
import { appendBareEvents } from "./support/bulk-events.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { readHead } from "./support/event-archive.ts";
import {
  type EventSystem,
  neverPoll,
  openLog,
  openProcess,
  openTestDatabase,
  testLogger,
} from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { serveLog } from "./support/serve-log.ts";
import { startServerProcess } from "./support/server-process.ts";
import { useDatabase } from "./support/shared-database.ts";
import { type SingleItem, toSingleItems } from "./support/single-items.ts";
import { openReader, type StreamReader } from "./support/stream-reader.ts";
import { openTcpProxy } from "./support/tcp-proxy.ts";
import { testConfig, useTestApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

type Request = MessageInitShape<typeof UserEventsRequestSchema>;
type Users = Client<typeof UserService>;

const hour = { seconds: 3_600n };

/** A stream by a client. */
function watch(t: TestContext, client: Users, request: Request): StreamReader<UserEvent> {
  return openReader(t, (signal) => client.streamUserEvents(request, { signal }));
}

/** A stream inside the process. */
function follow(
  t: TestContext,
  { log }: EventSystem,
  request: Partial<StreamRequest> = {},
): StreamReader<SingleItem> {
  return openReader(t, (signal) =>
    toSingleItems(log.stream({ start: "earliest", filter: everyEvent, ...request }, signal)),
  );
}

const revisionOf = (item: SingleItem): bigint =>
  item.kind === "event" ? item.event.revision : item.revision;

/** Names that no other test uses. */
function newUser(): { email: string; username: string } {
  const name = `u${randomUUID().replaceAll("-", "").slice(0, 20)}z`;
  return { email: `${name}@example.com`, username: name };
}

/** Registers users one after the other, so that their events come in this order. */
async function registerUsers(client: Users, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) ids.push((await client.registerUser(newUser())).id);
  return ids;
}

async function registerDirectly({ users }: EventSystem, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) ids.push((await users.register(newUser())).id);
  return ids;
}

/** Looks again and again, with everything else going on in between, until it is so. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const giveUp = new AbortController();
  async function look(): Promise<void> {
    while (!(await isSo()) && !giveUp.signal.aborted) await setImmediate();
  }
  try {
    await withDeadline(what, look());
  } finally {
    giveUp.abort();
  }
}

for (const backend of backends) {
  describe(`StreamUserEvents on the ${backend.name} database`, () => {
    const app = useTestApp(backend);
    const shared = useDatabase(backend);
    let client: Users;
    before(() => {
      client = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
    });

    test("an empty request streams from now on: nothing that was committed before the call", async (t) => {
      const [earlier = ""] = await registerUsers(client, 1);
      const stream = watch(t, client, {});
      const first = stream.next();
      // Nothing tells when the stream has begun, so users register until it shows one of them.
      const registered: string[] = [];
      const shown = first.then((event) => event.payload?.id ?? "");
      for (let seen: string | undefined; seen === undefined; ) {
        registered.push(...(await registerUsers(client, 1)));
        seen = await Promise.race([shown, setImmediate(undefined)]);
      }
      assert.notEqual(await shown, earlier);
      const from = registered.indexOf(await shown);
      assert.ok(from >= 0, "an event of somebody who registered before the call");
      const rest = await stream.take(registered.length - from - 1);
      assert.deepEqual(
        rest.map((event) => event.payload?.id),
        registered.slice(from + 1),
      );
    });

    test("EARLIEST begins with the oldest event and goes on live; revisions rise by one", async (t) => {
      const before = await registerUsers(client, 2);
      const stream = watch(t, client, { start: Start.EARLIEST });
      const events: UserEvent[] = [];
      const readUntil = async (id: string | undefined) => {
        do events.push(await stream.next());
        while (events.at(-1)?.payload?.id !== id);
      };
      await readUntil(before[1]);
      const after = await registerUsers(client, 2);
      await readUntil(after[1]);
      assert.deepEqual(
        events.map((event) => event.revision),
        events.map((_, index) => BigInt(index) + 1n),
      );
      assert.deepEqual(
        events.slice(-4).map((event) => event.payload?.id),
        [...before, ...after],
      );
    });

    test("a stream resumes behind any event by its cursor, and after_cursor goes before start", async (t) => {
      const { id } = await client.registerUser(newUser());
      await client.updateUser({ user: { id, username: newUser().username } });
      await client.deactivateUser({ id });
      await client.activateUser({ id });
      await client.deleteUser({ id });
      const events = await watch(t, client, { start: Start.EARLIEST, userIds: [id] }).take(5);
      assert.deepEqual(
        events.map((event) => event.type),
        ["user_registered", "user_updated", "user_deactivated", "user_activated", "user_deleted"],
      );
      assert.equal(new Set(events.map((event) => event.id)).size, 5);
      for (const [index, { cursor: afterCursor }] of events.entries()) {
        for (const start of [Start.NOW, Start.EARLIEST]) {
          const rest = watch(t, client, { afterCursor, start, userIds: [id] });
          assert.deepEqual(await rest.take(4 - index), events.slice(index + 1));
        }
      }
    });

    test("filters by type and by user are joined by and; ids are compared without regard to case", async (t) => {
      const [one = "", other = "", third = ""] = await registerUsers(client, 3);
      for (const id of [one, other, third]) await client.deactivateUser({ id });
      const seen = async (request: Request, count: number) => {
        const events = await watch(t, client, { start: Start.EARLIEST, ...request }).take(count);
        return events.map((event) => `${event.type} ${event.payload?.id}`);
      };
      const userIds = [one.toUpperCase(), third];
      assert.deepEqual(await seen({ userIds }, 4), [
        `user_registered ${one}`,
        `user_registered ${third}`,
        `user_deactivated ${one}`,
        `user_deactivated ${third}`,
      ]);
      assert.deepEqual(await seen({ userIds, types: ["user_deactivated"] }, 2), [
        `user_deactivated ${one}`,
        `user_deactivated ${third}`,
      ]);
      const types = ["user_deactivated", "user_deleted"];
      const live = watch(t, client, { types, progressInterval: hour });
      await live.next();
      await client.activateUser({ id: one });
      await client.deleteUser({ id: other });
      await client.deactivateUser({ id: one });
      assert.deepEqual(
        (await live.take(2)).map((event) => `${event.type} ${event.payload?.id}`),
        [`user_deleted ${other}`, `user_deactivated ${one}`],
      );
    });

    test("progress comes at once and after silence, also where the filter matches nothing, and can be resumed from", async (t) => {
      await registerUsers(client, 1);
      const nobody = { userIds: [randomUUID()], progressInterval: { nanos: 100_000_000 } };
      const stream = watch(t, client, nobody);
      const first = await stream.next();
      assert.deepEqual(
        { id: first.id, type: first.type, payload: first.payload, occurredAt: first.occurredAt },
        { id: "", type: "progress", payload: undefined, occurredAt: "" },
      );
      const [id] = await registerUsers(client, 2);
      let progress = first;
      while (progress.revision < first.revision + 2n) {
        progress = await stream.next();
        assert.equal(progress.type, "progress");
      }
      const behindFirst = await watch(t, client, { afterCursor: first.cursor }).next();
      assert.equal(behindFirst.payload?.id, id);
      const [later] = await registerUsers(client, 1);
      const behindProgress = await watch(t, client, { afterCursor: progress.cursor }).next();
      assert.equal(behindProgress.payload?.id, later);
    });

    test("without a progress interval there is no progress message", async (t) => {
      const start = await watch(t, client, { progressInterval: hour }).next();
      await registerUsers(client, 3);
      const events = await watch(t, client, { afterCursor: start.cursor }).take(3);
      assert.ok(events.every((event) => event.type === "user_registered"));
    });

    const transports: Record<string, (baseUrl: string) => Transport> = {
      gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
      "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
      Connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    };
    for (const [name, createTransport] of Object.entries(transports)) {
      test(`over ${name}, a cursor that is none, foreign or beyond the head is refused with its own reason`, async (t) => {
        const byName = createClient(UserService, createTransport(app.url));
        const { cursor, revision } = await watch(t, byName, { progressInterval: hour }).next();
        const databaseId = decodeCursor(cursor)?.databaseId ?? "";
        const refused = (afterCursor: string) => watch(t, byName, { afterCursor }).next();

        for (const text of ["garbage", cursor.slice(1), `${cursor}A`, `${cursor}=`]) {
          await expectError(refused(text), {
            code: Code.InvalidArgument,
            reason: "CURSOR_INVALID",
            fields: ["after_cursor"],
          });
        }
        await expectError(refused(encodeCursor({ databaseId: randomUUID(), revision })), {
          code: Code.FailedPrecondition,
          reason: "CURSOR_FOREIGN",
        });
        const ahead = encodeCursor({ databaseId, revision: revision + 1_000_000n });
        await expectError(refused(ahead), { code: Code.FailedPrecondition, reason: "CURSOR_AHEAD" });
      });
    }

    test("a cursor older than the retained events is OUT_OF_RANGE and told the earliest one, over every protocol", async (t) => {
      const { database } = await shared.renew();
      const url = await serveLog(t, await openLog(t, database));
      const byGrpc = createClient(UserService, createGrpcTransport({ baseUrl: url }));
      const start = await watch(t, byGrpc, { progressInterval: hour }).next();
      await appendBareEvents(database, { count: 3, secondsOld: 60 });
      await removeExpiredEvents(database, 30_000, new Date());
      const [id] = await registerUsers(byGrpc, 1);

      for (const createTransport of Object.values(transports)) {
        const byName = createClient(UserService, createTransport(url));
        const error = await expectError(watch(t, byName, { afterCursor: start.cursor }).next(), {
          code: Code.OutOfRange,
          reason: "CURSOR_COMPACTED",
        });
        const earliest = error.findDetails(ErrorInfoSchema)[0]?.metadata["earliest_cursor"] ?? "";
        assert.equal(decodeCursor(earliest)?.revision, 3n);
        assert.equal(error.metadata.get("earliest-cursor"), earliest);
        const resumed = await watch(t, byName, { afterCursor: earliest }).next();
        assert.equal(resumed.payload?.id, id);
        const anew = await watch(t, byName, { start: Start.EARLIEST }).next();
        assert.deepEqual(anew, resumed);
      }
    });

    test("some hundred streams over several connections each get each event once", async (t) => {
      const perConnection = 75;
      const transports = Array.from({ length: 4 }, () => createGrpcTransport({ baseUrl: app.url }));
      const streams = transports.flatMap((transport) => {
        const connection = createClient(UserService, transport);
        return Array.from({ length: perConnection }, () =>
          watch(t, connection, { types: ["user_registered"], progressInterval: hour }),
        );
      });
      await Promise.all(streams.map((stream) => stream.next()));
      const ids = await registerUsers(client, 5);
      const seen = await Promise.all(streams.map((stream) => stream.take(5)));
      for (const events of seen) {
        assert.deepEqual(
          events.map((event) => event.payload?.id),
          ids,
        );
      }
    });
  });
}

for (const backend of backends) {
  describe(`the event log's streams on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("2,000 subscribers cost what one costs: no query while idle or for an own event, one for another's", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      const streams = Array.from({ length: 2_000 }, () => follow(t, system, { start: "now" }));
      const opening = system.tailerReads();
      const firsts = streams.map((stream) => stream.next());
      // All of them wait for the same read, or the one behind it; behind two more, all of them have begun.
      await system.tailer.catchUp();
      await system.tailer.catchUp();
      assert.ok(system.tailerReads() - opening <= 4, "opening streams costs a query each");

      const idle = system.tailerReads();
      await system.tailer.catchUp();
      assert.equal(system.tailerReads() - idle, 1, "a look at the log is one query, however many subscribe");

      const [id] = await registerDirectly(system, 1);
      for (const item of await Promise.all(firsts)) {
        assert.equal(item.kind === "event" && item.event.user.id, id);
      }
      assert.equal(system.tailerReads() - idle, 1, "what this process has committed is not read back");

      const seconds = streams.map((stream) => stream.next());
      await appendBareEvents(database, { count: 1 });
      system.tailer.wake();
      for (const item of await Promise.all(seconds)) assert.equal(revisionOf(item), 2n);
      assert.equal(system.tailerReads() - idle, 2, "one event to all of them is one query");
      assert.equal(system.streamReads(), 0, "no stream near the end reads for itself");
    });

    test("own events behind others' that no wake-up has told of are handed on with them, in order", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await reader.next();
      const [first] = await registerDirectly(system, 1);
      await appendBareEvents(database, { count: 2 });
      const [last] = await registerDirectly(system, 1);
      const items = await reader.take(4);
      assert.deepEqual(items.map(revisionOf), [1n, 2n, 3n, 4n]);
      const users = items.map((item) => item.kind === "event" && item.event.user.id);
      assert.deepEqual([users.at(0), users.at(-1)], [first, last]);
    });

    test("an own event is what the table holds of it", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await reader.next();
      await registerDirectly(system, 1);
      const live = await reader.next();
      // A process that was not there has it from the table.
      const later = await openLog(t, database, { pollIntervalMs: neverPoll });
      assert.deepEqual(live, await follow(t, later).next());
    });

    test("a subscriber who waits is woken by events, not by every look at the log", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      let woken = 0;
      const subscription = system.tailer.grown.subscribe(new AbortController().signal);
      const wait = () =>
        subscription.next().then(
          () => (woken += 1),
          () => {},
        );
      const idle = wait();
      await system.tailer.catchUp();
      await system.tailer.catchUp();
      assert.equal(woken, 0);
      await registerDirectly(system, 1);
      await withDeadline("the wake-up", idle);
      assert.equal(woken, 1);
      subscription.close();
    });

    test("a log that nobody follows is not read, and whoever comes then misses nothing", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      const before = system.tailerReads();
      const ids = await registerDirectly(system, 3);
      assert.equal(system.tailerReads(), before, "it was read for nobody");
      const reader = follow(t, system);
      const now = follow(t, system, { start: "now", progressIntervalMs: 60_000 });
      assert.equal(revisionOf(await now.next()), 3n, "now is behind what was written before");
      ids.push(...(await registerDirectly(system, 1)));
      for (const id of ids) {
        const item = await reader.next();
        assert.equal(item.kind === "event" && item.event.user.id, id);
      }
      assert.equal(revisionOf(await now.next()), 4n);
    });

    test("a reader far behind reads a page at a time, each when it has taken the one before", async (t) => {
      const { database } = await shared.renew();
      await appendBareEvents(database, { count: 1_000 });
      const system = await openLog(t, database, { streamPageSize: 100 });
      const reader = follow(t, system);
      const revisions: bigint[] = [];
      for (let page = 1; page <= 10; page++) {
        revisions.push(revisionOf(await reader.next()));
        assert.equal(system.streamReads(), page);
        await appendBareEvents(database, { count: 10 });
        revisions.push(...(await reader.take(99)).map(revisionOf));
        assert.equal(system.streamReads(), page);
      }
      system.tailer.wake();
      // What came while it read reaches it too, from the ring or by one page more.
      revisions.push(...(await reader.take(100)).map(revisionOf));
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => BigInt(index) + 1n),
      );
    });

    test("a slow reader holds one page of events in memory, however many have come since", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { ringCapacity: 100, pageSize: 50, streamPageSize: 10 });
      const fast = follow(t, system);
      const slow = follow(t, system);
      const seen: WeakRef<LoggedEvent>[] = [];
      const append = async (count: number) => {
        await appendBareEvents(database, { count });
        system.tailer.wake();
        for (const item of await fast.take(count)) {
          if (item.kind === "event") seen.push(new WeakRef(item.event));
        }
      };
      await append(200);
      assert.equal(revisionOf(await slow.next()), 1n);
      for (let round = 0; round < 8; round++) await append(100);

      const alive = await countAlive(seen);
      // The ring's two hundred, and a page of each of the two streams.
      assert.ok(alive <= 200 + 2 * 10, `${alive} events are held`);
      assert.deepEqual(
        (await slow.take(999)).map(revisionOf),
        Array.from({ length: 999 }, (_, index) => BigInt(index) + 2n),
      );
    });

    test("a client that does not read holds its stream up, not the log, and is told when retention overtakes it", async (t) => {
      const { database } = await shared.renew();
      const count = 20_000;
      await appendBareEvents(database, { count, secondsOld: 60 });
      const system = await openLog(t, database);
      const url = await serveLog(t, system);
      const slow = watch(t, createClient(UserService, createGrpcTransport({ baseUrl: url })), {
        start: Start.EARLIEST,
      });
      const first = await slow.next();
      // Others are served meanwhile, for as long as it takes the slow one's buffers to fill.
      const live = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await live.next();
      for (let reads = -1; reads !== system.streamReads(); ) {
        reads = system.streamReads();
        await registerDirectly(system, 20);
        await live.take(20);
      }
      assert.ok(system.streamReads() < count / 500, "it has read on although nobody takes what it reads");

      await removeExpiredEvents(database, 30_000, new Date());
      await system.tailer.catchUp();
      const { messages, failure } = await slow.untilFailure();
      const revisions = [first, ...messages].map((event) => event.revision);
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => BigInt(index) + 1n),
      );
      assert.ok(revisions.length < count);
      const error = await expectError(Promise.reject(failure), {
        code: Code.OutOfRange,
        reason: "CURSOR_COMPACTED",
      });
      assert.equal(decodeCursor(error.metadata.get("earliest-cursor") ?? "")?.revision, BigInt(count));
    });

    for (const [where, fresh] of [
      ["in the ring", false],
      ["behind the ring", true],
    ] as const) {
      test(`a live stream ${where} that retention overtakes fails with the earliest cursor, never with a gap`, async (t) => {
        const { database } = await shared.renew();
        const writing = await openLog(t, database, { streamPageSize: 4 });
        await appendBareEvents(database, { count: 20, secondsOld: 60 });
        await writing.tailer.catchUp();
        const system = fresh ? await openLog(t, database, { streamPageSize: 4 }) : writing;
        const reader = follow(t, system);
        assert.deepEqual((await reader.take(2)).map(revisionOf), [1n, 2n]);
        await removeExpiredEvents(database, 30_000, new Date());
        const [id] = await registerDirectly(writing, 1);
        await system.tailer.catchUp();

        // What it holds already it still gives: that is no gap.
        const { messages, failure } = await reader.untilFailure();
        assert.deepEqual(messages.map(revisionOf), [3n, 4n]);
        assert.ok(failure instanceof CursorCompactedError);
        const cursor = failure.metadata["earliest_cursor"] ?? "";
        const next = await follow(t, system, { start: { cursor } }).next();
        assert.equal(next.kind === "event" && next.event.user.id, id);
      });
    }

    test("retention that passes between a reader's pages is noticed in the page itself", async (t) => {
      const { database } = await shared.renew();
      await appendBareEvents(database, { count: 20, secondsOld: 60 });
      // This log does not hear of what retention does: what it remembers of the floor is old.
      const system = await openLog(t, database, { streamPageSize: 4, pollIntervalMs: neverPoll });
      const reader = follow(t, system);
      await reader.take(2);
      await removeExpiredEvents(database, 30_000, new Date());
      const { messages, failure } = await reader.untilFailure();
      assert.deepEqual(messages.map(revisionOf), [3n, 4n]);
      assert.ok(failure instanceof CursorCompactedError);
    });

    test("a reader behind the ring may read beyond what its process has seen of the log", async (t) => {
      const { database } = await shared.renew();
      const other = await openLog(t, database);
      await appendBareEvents(database, { count: 3 });
      const system = await openLog(t, database, { pollIntervalMs: neverPoll });
      for (const filter of [everyEvent, { ...everyEvent, userIds: new Set([randomUUID()]) }]) {
        const reader = follow(t, system, { filter, progressIntervalMs: 1 });
        assert.equal((await reader.next()).kind, "progress");
        await registerDirectly(other, 3);
        const { revision } = await readHead(database);
        for (let at = 0n; at < revision; ) at = revisionOf(await reader.next());
      }
    });

    test("a type filter looks through any number of other events, and progress tells how far", async (t) => {
      const { database } = await shared.renew();
      await appendBareEvents(database, { count: 25_000 });
      await appendBareEvents(database, { count: 1, type: "user_deleted" });
      await appendBareEvents(database, { count: 15_000 });
      await appendBareEvents(database, { count: 1, type: "user_deleted" });
      await appendBareEvents(database, { count: 5_000 });
      const system = await openLog(t, database);
      const types = new Set(["user_deleted"]);
      const reader = follow(t, system, { filter: { types, userIds: new Set() }, progressIntervalMs: 1 });
      const items: SingleItem[] = [];
      do items.push(await reader.next());
      while (items.at(-1)?.kind === "event" || revisionOf(items.at(-1) as SingleItem) < 45_002n);
      assert.deepEqual(items.filter((item) => item.kind === "event").map(revisionOf), [25_001n, 40_002n]);
      for (const item of items.filter((each) => each.kind === "progress")) {
        const resumed = follow(t, system, {
          start: { cursor: encodeCursor(item) },
          filter: { types, userIds: new Set() },
        });
        const expected = [25_001n, 40_002n].find((revision) => revision > item.revision);
        if (expected !== undefined) assert.equal(revisionOf(await resumed.next()), expected);
      }
    });

    test("what no wake-up tells of, the poll finds", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database, { pollIntervalMs: 20 });
      const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await reader.next();
      await appendBareEvents(database, { count: 3 });
      assert.deepEqual((await reader.take(3)).map(revisionOf), [1n, 2n, 3n]);
    });

    test("a log that has lost its end, or was replaced, ends its streams with the reason and goes on", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const loseTwo = sql`
        with lost as (delete from user_events where revision > (select revision - 2 from stream_head))
        update stream_head set revision = revision - 2`;
      const replace = sql`update stream_head set database_id = gen_random_uuid()`;
      for (const [damage, expected] of [
        [loseTwo, CursorAheadError],
        [replace, ForeignCursorError],
      ] as const) {
        await appendBareEvents(database, { count: 5 });
        const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
        await reader.next();
        const pending = reader.untilFailure();
        await damage.execute(database);
        await system.tailer.catchUp();
        const { messages, failure } = await pending;
        assert.deepEqual(messages, []);
        assert.ok(failure instanceof expected, String(failure));

        const anew = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
        await anew.next();
        const [id] = await registerDirectly(system, 1);
        const next = await anew.next();
        assert.equal(next.kind === "event" && next.event.user.id, id);
      }
    });

    test("a stream that is left ends at once, with the reason", async (t) => {
      const { database } = await shared.renew();
      const { log } = await openLog(t, database, { pollIntervalMs: neverPoll });
      const leaving = new AbortController();
      const stream = log.stream({ start: "now", filter: everyEvent, progressIntervalMs: 1 }, leaving.signal);
      await stream.next();
      await stream.next();
      const pending = log.stream({ start: "now", filter: everyEvent }, leaving.signal).next();
      const reason = new Error("left");
      leaving.abort(reason);
      await assert.rejects(withDeadline("the end of a waiting stream", pending), reason);
      await assert.rejects(withDeadline("the end of a stream", stream.next()), reason);
    });

    test("a closed tailer fails whoever waits for it, and whoever comes later", async (t) => {
      const { database } = await shared.renew();
      const { tailer } = await openLog(t, database);
      const waiting = tailer.catchUp();
      waiting.catch(() => {});
      await tailer.close();
      await waiting.catch((error: unknown) => assert.ok(error instanceof DatabaseUnavailableError));
      await assert.rejects(
        withDeadline("the answer of a closed tailer", tailer.catchUp(), 5_000),
        DatabaseUnavailableError,
      );
    });
  });

  describe(`retention on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("removes only what is old, in whole batches, and the floor is the last that was removed", async () => {
      const { database } = await shared.renew();
      await appendBareEvents(database, { count: 2_500, secondsOld: 100 });
      await appendBareEvents(database, { count: 2, secondsOld: 10 });
      await appendBareEvents(database, { count: 3, secondsOld: 100 });
      const now = new Date();
      assert.equal(await removeExpiredEvents(database, 200_000, now), 0);
      assert.deepEqual(await readHead(database), { revision: 2_505n, floor: 0n });

      assert.equal(await removeExpiredEvents(database, 50_000, now), 2_500);
      assert.deepEqual(await readHead(database), { revision: 2_505n, floor: 2_500n });
      // The old events behind the younger ones are out of their turn: removing them would leave a gap.
      assert.deepEqual(await storedRevisions(database), [2_501n, 2_502n, 2_503n, 2_504n, 2_505n]);

      assert.equal(await removeExpiredEvents(database, 5_000, now), 5);
      assert.deepEqual(await readHead(database), { revision: 2_505n, floor: 2_505n });
      assert.equal(await removeExpiredEvents(database, 0, now), 0);
    });

    test("of a whole log leaves a floor at the head, where streams begin and revisions go on", async (t) => {
      const { database } = await shared.renew();
      const system = await openLog(t, database);
      const live = follow(t, system);
      await appendBareEvents(database, { count: 7, secondsOld: 100 });
      system.tailer.wake();
      await live.take(7);
      await removeExpiredEvents(database, 50_000, new Date());
      await registerDirectly(system, 1);
      assert.equal(revisionOf(await live.next()), 8n);
      assert.equal(revisionOf(await follow(t, system).next()), 8n);
    });

    test("runs by itself from the start, and stops behind the batch at hand", async () => {
      const { database } = await shared.renew();
      await appendBareEvents(database, { count: 5_500, secondsOld: 100 });
      await startEventRetention(database, 50_000, testLogger)();
      assert.equal((await readHead(database)).floor, 1_000n);

      const stop = startEventRetention(database, 50_000, testLogger);
      await until("retention's first round", async () => (await readHead(database)).floor === 5_500n);
      await stop();
      assert.deepEqual(await storedRevisions(database), []);
    });
  });
}

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe("the event log of several processes on PostgreSQL", () => {
    test("a notification from another process wakes the tailer, without any poll", async (t) => {
      const { config, database } = await openTestDatabase(t, backend);
      assert.ok(config.kind === "postgres");
      const system = await openProcess(t, config, { pollIntervalMs: neverPoll });
      const server = await startServerProcess({ DATABASE_URL: config.url, AUTH: "off" });
      cleanUpAfter(t, () => server.stop("SIGTERM"));
      const client = createClient(UserService, createGrpcTransport({ baseUrl: server.url }));
      const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await reader.next();
      await until("the listening connections", async () => (await countListeners(database)) === 2);
      // The first event may be found by the look that a new listening connection takes; the others cannot.
      for (let registered = 0; registered < 4; registered++) {
        const [id] = await registerUsers(client, 1);
        const item = await reader.next();
        assert.equal(item.kind === "event" && item.event.user.id, id);
      }
    });

    test("a listening connection that broke is opened again, and what it missed is looked for", async (t) => {
      const { database, proxied, proxy } = await openProxiedDatabase(t, backend);
      const system = await openProcess(t, proxied, { pollIntervalMs: neverPoll });
      const aside = await openLog(t, database);
      const reader = follow(t, system, { start: "now", progressIntervalMs: 3_600_000 });
      await reader.next();
      await until("the listening connection", async () => (await countListeners(database)) === 1);
      for (let round = 0; round < 2; round++) {
        await proxy.cut();
        const ids = await registerDirectly(aside, 3);
        await proxy.mend();
        for (const id of ids) {
          const item = await reader.next();
          assert.equal(item.kind === "event" && item.event.user.id, id);
        }
      }
    });

    test("a live stream loses no event while its database is cut off, refuses connections and comes back", async (t) => {
      const { database, proxied, proxy } = await openProxiedDatabase(t, backend);
      const config = testConfig({ database: proxied });
      const app = await startApp(config, createLogger(config));
      cleanUpAfter(t, app.close);
      const client = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
      const ready = async () => (await fetch(`${app.url}/readyz`)).status === 200;
      const aside = await openLog(t, database);
      const live = watch(t, client, { progressInterval: hour });
      const filtered = watch(t, client, { types: ["user_deactivated"], progressInterval: hour });
      await Promise.all([live.next(), filtered.next()]);

      for (let round = 0; round < 2; round++) {
        const ids = await registerDirectly(aside, 1);
        await proxy.cut();
        await until("the program to notice", async () => !(await ready()));
        ids.push(...(await registerDirectly(aside, 30)));
        const [last = ""] = ids.slice(-1);
        await aside.users.setActive(last, false);
        await proxy.mend();
        await until("the program to recover", ready);
        ids.push(...(await registerUsers(client, 1)));
        const seen = await live.take(ids.length + 1);
        assert.deepEqual(
          seen.filter((event) => event.type === "user_registered").map((event) => event.payload?.id),
          ids,
        );
        assert.equal((await filtered.next()).payload?.id, last);
      }
    });

    for (const moment of ["while it connects", "while it listens"] as const) {
      test(`a database that stops answering ${moment} does not hold up the end of the notifier`, async (t) => {
        const { config, database } = await openTestDatabase(t, backend);
        assert.ok(config.kind === "postgres");
        const url = new URL(config.url);
        const relay = await openFreezingRelay(t, url.hostname, Number(url.port || 5432));
        url.host = `127.0.0.1:${relay.port}`;
        if (moment === "while it connects") relay.freeze();
        const notifier = openEventNotifier(url.href, database, () => {}, testLogger);
        await withDeadline("the notifier to connect", relay.connected);
        if (moment === "while it listens") {
          await until("the listening connection", async () => (await countListeners(database)) === 1);
          relay.freeze();
        }
        // Less than a connection may take: it must not be that which ends the wait.
        await withDeadline("the notifier to close", notifier.close(), 4_000);
      });
    }
  });
}

/** A relay that, once frozen, keeps its connections open and lets nothing through, as a lost network does. */
async function openFreezingRelay(t: TestContext, targetHost: string, targetPort: number) {
  const connected = Promise.withResolvers<void>();
  const sockets = new Set<net.Socket>();
  let frozen = false;
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ port: targetPort, host: targetHost, allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from.on("error", () => {}));
      from.on("data", (bytes) => void (frozen || to.write(bytes)));
    }
    connected.resolve();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUpAfter(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connected: connected.promise,
    freeze: () => {
      frozen = true;
    },
  };
}

/** A fresh database that is reached directly and through a proxy. */
async function openProxiedDatabase(t: TestContext, backend: (typeof backends)[number]) {
  const { config, database } = await openTestDatabase(t, backend);
  assert.ok(config.kind === "postgres");
  const url = new URL(config.url);
  const proxy = await openTcpProxy(url.hostname, Number(url.port || 5432));
  cleanUpAfter(t, proxy.close);
  url.host = `127.0.0.1:${proxy.port}`;
  return { database, proxy, proxied: { ...config, url: url.href } };
}

/** How many connections wait for notifications on this database. */
async function countListeners(database: Database): Promise<number> {
  const { rows } = await sql<{ listeners: bigint }>`
    select count(*) as listeners from pg_stat_activity
    where datname = current_database() and query like 'listen %' and state = 'idle'`.execute(database);
  return Number(rows[0]?.listeners);
}

async function storedRevisions(database: Database): Promise<bigint[]> {
  const rows = await database.selectFrom("user_events").select("revision").orderBy("revision").execute();
  return rows.map((row) => row.revision);
}

/** How many of the objects the program still holds. */
async function countAlive(references: readonly WeakRef<object>[]): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  // What a WeakRef has given out stays alive until the end of the job that asked.
  await setImmediate();
  collectGarbage();
  await setImmediate();
  collectGarbage();
  return references.filter((reference) => reference.deref() !== undefined).length;
}

const events = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ revision: BigInt(from + index) }) as LoggedEvent);

describe("committed events", () => {
  const commit = (from: number, to: number, databaseId = "one") => ({ databaseId, events: events(from, to) });
  const revisions = (taken: readonly LoggedEvent[]) => taken.map((event) => Number(event.revision));

  test("are taken in order, up to a hole or another database's", () => {
    const committed = createCommittedEvents();
    committed.add(commit(4, 5));
    committed.add(commit(1, 3));
    committed.add(commit(7, 7));
    assert.deepEqual(revisions(committed.takeAfter("other", 0n)), []);
    assert.deepEqual(revisions(committed.takeAfter("one", 0n)), [1, 2, 3, 4, 5]);
    assert.deepEqual(revisions(committed.takeAfter("one", 5n)), []);
    assert.equal(committed.isEmpty, false);
    committed.add(commit(6, 6, "other"));
    assert.deepEqual(revisions(committed.takeAfter("one", 5n)), []);
    committed.forgetUpTo(6n);
    assert.deepEqual(revisions(committed.takeAfter("one", 6n)), [7]);
    assert.equal(committed.isEmpty, true);
  });

  test("that are known already are left, for somebody to look why", () => {
    const committed = createCommittedEvents();
    committed.add(commit(3, 3));
    assert.deepEqual(revisions(committed.takeAfter("one", 3n)), []);
    assert.equal(committed.isEmpty, false);
    committed.forgetUpTo(3n);
    assert.equal(committed.isEmpty, true);
  });
});

describe("the ring", () => {
  const revisions = (found: readonly LoggedEvent[] | undefined) =>
    found?.map((event) => Number(event.revision));

  test("keeps between its capacity and twice as many, and finds what is behind a revision or knows that it cannot", () => {
    const ring = createEventRing(10n, 4);
    assert.deepEqual(revisions(ring.findAfter(10n, 100)), []);
    assert.equal(ring.findAfter(9n, 100), undefined);
    ring.append(events(11, 18));
    assert.equal(ring.head, 18n);
    assert.deepEqual(revisions(ring.findAfter(10n, 100)), [11, 12, 13, 14, 15, 16, 17, 18]);
    assert.deepEqual(revisions(ring.findAfter(12n, 3)), [13, 14, 15]);
    ring.append(events(19, 19));
    assert.equal(ring.findAfter(14n, 100), undefined);
    assert.deepEqual(revisions(ring.findAfter(15n, 100)), [16, 17, 18, 19]);
    assert.deepEqual(revisions(ring.findAfter(19n, 100)), []);
  });

  test("refuses a hole", () => {
    const ring = createEventRing(0n, 4);
    assert.throws(() => ring.append(events(2, 3)), /hole before revision 2/);
  });
});
