import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { sql } from "kysely";
import { readEventsAfter } from "../src/events/event.repository.ts";
import { everyEvent } from "../src/events/event.ts";
import { CallerLeftError } from "../src/platform/caller-left.ts";
import { runFor, type Work } from "../src/platform/current-work.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { openLog, openTestDatabase } from "./support/event-system.ts";
import { openSideDoor } from "./support/side-door.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** One who waits, and leaves. */
class Caller implements Work {
  readonly caller = { aborted: false, reason: new Error("the caller has left") };
  readonly spans = [];

  leave(): void {
    this.caller.aborted = true;
  }
}

async function open(t: TestContext, backend: Backend) {
  const { config, database } = await openTestDatabase(t, backend);
  assert.ok(config.kind === "postgres");
  const { users, tailer } = await openLog(t, database);
  const { id } = await users.register({ email: "ada@example.com", username: "ada" });
  const side = await openSideDoor(t, config.url);
  cleanUpAfter(t, () => side.unlock());

  /** Resolves when whatever callers had left before has been noticed: by then, another one's leaving has. */
  async function untilNoticed(): Promise<void> {
    const canary = new Caller();
    const sleep = runFor(canary, () => sql`select pg_sleep(600)`.execute(database));
    const ended = assert.rejects(sleep, CallerLeftError);
    await side.untilRunning("pg_sleep", 1);
    canary.leave();
    await withDeadline("the canary's end", ended);
  }
  return { database, users, tailer, id, side, untilNoticed };
}

/** Each has failed because its caller has left, and says so in that one's own words. */
async function assertLeft(answers: readonly Promise<unknown>[], callers: readonly Caller[]): Promise<void> {
  const outcomes = await withDeadline("the ends", Promise.allSettled(answers));
  const reasons = outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason);
  assert.deepEqual(
    reasons.map((reason, index) => reason === callers[index]?.caller.reason),
    callers.map(() => true),
    String(reasons),
  );
}

for (const backend of backends.filter(({ name }) => name === "postgres")) {
  describe("what several callers share in PostgreSQL", () => {
    test("is not cancelled while one of them waits, and cancelled when all have left", async (t) => {
      const { users, id, side, untilNoticed } = await open(t, backend);
      for (const ask of [
        () => users.get({ column: "id", value: id }),
        () => users.setActive(id, false),
        () => users.register({ email: "ada@example.com", username: "another" }),
      ]) {
        await side.lock("users");
        const callers = [new Caller(), new Caller(), new Caller()] as const;
        const answers = callers.map((caller) => runFor(caller, ask));
        const outcomes = assertLeft(answers, callers);
        await side.untilWaiting(1);
        callers[0].leave();
        callers[2].leave();
        await untilNoticed();
        await side.untilWaiting(1);
        callers[1].leave();
        await outcomes;
        await side.untilWaiting(0);
        await side.unlock();
      }
    });

    test("goes on for whoever stays", async (t) => {
      const { users, id, side, untilNoticed } = await open(t, backend);
      await side.lock("users");
      const [leaving, staying] = [new Caller(), new Caller()];
      const answers = [leaving, staying].map((caller) => runFor(caller, () => users.setActive(id, false)));
      await side.untilWaiting(1);
      leaving.leave();
      await untilNoticed();
      await side.unlock();
      // The transaction had claimed both.
      assert.deepEqual(
        (await Promise.all(answers)).map((user) => user.isActive),
        [false, false],
      );
    });

    test("keeps nothing when all have left, not even the event", async (t) => {
      const { database, users, tailer, id, side } = await open(t, backend);
      const headBefore = (await readEventsAfter(database, 0n, everyEvent, 10)).head;
      await side.lock("user_events");
      const callers = [new Caller(), new Caller()];
      const answers = callers.map((caller) => runFor(caller, () => users.setActive(id, false)));
      const outcomes = assertLeft(answers, callers);
      await side.untilWaiting(1);
      for (const caller of callers) caller.leave();
      await outcomes;
      await side.untilWaiting(0);
      await side.unlock();
      await tailer.catchUp();
      assert.equal(tailer.state.head, headBefore);
      assert.equal((await users.get({ column: "id", value: id })).isActive, true);
    });
  });

  describe("a stream that reads pages of the log in PostgreSQL", () => {
    test("leaves no query behind", async (t) => {
      const { database, side } = await open(t, backend);
      await side.lock("user_events");
      const stream = new AbortController();
      const page = readEventsAfter(database, 0n, everyEvent, 10, stream.signal);
      const ended = assert.rejects(page, /the stream has ended/);
      await side.untilWaiting(1);
      stream.abort(new Error("the stream has ended"));
      await ended;
      await side.untilWaiting(0);
    });
  });
}
