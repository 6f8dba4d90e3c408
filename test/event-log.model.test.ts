import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { startApp } from "../src/app.ts";
import { removeExpiredEvents } from "../src/events/event-retention.ts";
import { createEventWriter } from "../src/events/event-writer.ts";
import type { DatabaseConfig } from "../src/platform/config.ts";
import { createLogger } from "../src/platform/logger.ts";
import type { Database } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { archiveEvents, readUsers, readWholeLog, replay } from "./support/event-archive.ts";
import { type EventSystem, type EventSystemOptions, openLog, openProcess } from "./support/event-system.ts";
import { accessByClient, accessInProcess, type LogAccess } from "./support/log-access.ts";
import { createMilestones } from "./support/milestones.ts";
import { type ReaderWorld, runReader } from "./support/model-reader.ts";
import { runWriter, type WriterRecord, type WriterTarget } from "./support/model-writer.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";
import { checkHistory } from "./support/stream-history.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 runs everything ten times as long. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);
const deadlineMs = 60_000 * scale;

/** So small that readers fall out of the ring and page all the time. */
const tiny: EventSystemOptions = { ringCapacity: 8, pageSize: 5, streamPageSize: 3 };
/** So that readers are at the ring's edge as often as inside it. */
const small: EventSystemOptions = { ringCapacity: 64, pageSize: 100, streamPageSize: 20 };

/** Everything that runs at once in one round, and what it runs on. */
interface Round {
  readonly database: Database;
  readonly targets: readonly [WriterTarget, ...WriterTarget[]];
  readonly accesses: readonly [LogAccess, ...LogAccess[]];
  readonly progressMs: readonly [number, ...number[]];
  readonly retention: boolean;
  readonly writers: number;
  readonly operationsEach: number;
  readonly readers: number;
}

async function runRound(random: SeededRandom, round: Round): Promise<void> {
  const ending = new AbortController();
  const writes = createMilestones();
  const record: WriterRecord = {
    knownIds: [],
    registeredIds: [],
    deletedIds: [],
    reported: [],
    rolledBackIds: [],
    onOperation: writes.pass,
  };
  const world: ReaderWorld = {
    ...round,
    knownIds: record.knownIds,
    cursors: [],
    writes,
    signal: ending.signal,
  };
  const writing = Array.from({ length: round.writers }, () =>
    runWriter(random.fork(), random.pick(round.targets), record, round.operationsEach * scale),
  );
  const work = [
    Promise.all(writing).finally(writes.finish),
    ...(round.retention ? [removeNowAndThen(random.fork(), world)] : []),
  ];
  const reading = Array.from({ length: round.readers }, () => runReader(random.fork(), world));
  try {
    await withDeadline("the round's end", Promise.all([...work, ...reading]), deadlineMs);
  } finally {
    ending.abort();
    writes.finish();
    await Promise.allSettled([...work, ...reading]);
  }
  await checkWrites(round.database, record);
  const log = await readWholeLog(round.database);
  for (const history of (await Promise.all(reading)).flat()) {
    checkHistory(history, log);
  }
}

/** Removes what is older than a few writes, so that readers who pause are overtaken. */
async function removeNowAndThen(random: SeededRandom, { database, writes }: ReaderWorld): Promise<void> {
  while (!writes.isFinished) {
    await writes.afterNext(random.integer(5, 40));
    await removeExpiredEvents(database, random.integer(0, 50), new Date());
  }
}

async function checkWrites(database: Database, record: WriterRecord): Promise<void> {
  const log = await readWholeLog(database);
  assert.deepEqual(replay(log), await readUsers(database), "the events do not add up to the users");
  const idsOf = (type: string) => log.filter((event) => event.type === type).map((event) => event.user.id);
  assert.deepEqual(idsOf("user_registered").sort(), record.registeredIds.sort(), "registrations");
  assert.deepEqual(idsOf("user_deleted").sort(), record.deletedIds.sort(), "deletions");
  const states = new Set(log.map((event) => JSON.stringify(event.user)));
  for (const state of record.reported) {
    assert.ok(states.has(JSON.stringify(state)), `no event has the state that a write reported: ${state.id}`);
  }
  const logged = new Set(log.flatMap((event) => [event.id, event.user.id]));
  for (const id of record.rolledBackIds) {
    assert.ok(!logged.has(id), `${id} was rolled back and is in the log`);
  }
}

for (const backend of backends) {
  describe(`the event log on the ${backend.name} database`, { timeout: 8 * deadlineMs }, () => {
    const shared = useDatabase(backend, archiveEvents);

    for (const retention of [false, true]) {
      const meanwhile = retention ? ", while retention removes events" : "";
      for (const [where, sizes] of Object.entries({ "far behind the ring": tiny, "near the ring": small })) {
        test(`readers ${where} miss nothing and see nothing twice${meanwhile}`, (t) =>
          withSeed(async (random) => {
            const { database } = await shared.renew();
            const system = await openLog(t, database, sizes);
            await runRound(random, {
              ...inProcess(system),
              retention,
              writers: 6,
              operationsEach: 60,
              readers: 8,
            });
          }));
      }
      if (backend.name === "postgres") {
        test(`the logs of two processes on one database are the same log${meanwhile}`, (t) =>
          withSeed(async (random) => {
            const { config } = await shared.renew();
            const systems = [
              await openProcess(t, config, tiny),
              await openProcess(t, config, small),
            ] as const;
            const sides = inProcess(...systems);
            await runRound(random, { ...sides, retention, writers: 8, operationsEach: 60, readers: 12 });
          }));

        test(`two whole programs on one database stream the same log, with a writer beside them${meanwhile}`, (t) =>
          withSeed(async (random) => {
            const { config, database } = await shared.renew();
            const sides = await overTheWire(t, config, database);
            await runRound(random, { ...sides, retention, writers: 8, operationsEach: 40, readers: 12 });
          }));
      }
    }
  });
}

type Sides = Pick<Round, "database" | "targets" | "accesses" | "progressMs">;

function inProcess(system: EventSystem, ...others: EventSystem[]): Sides {
  const access = ({ users, log }: EventSystem) => accessInProcess(users, log);
  const target = (each: EventSystem): WriterTarget => ({
    access: access(each),
    database: each.database,
    write: each.log.write,
  });
  return {
    database: system.database,
    targets: [target(system), ...others.map(target)],
    accesses: [access(system), ...others.map(access)],
    progressMs: [1, 5, 20],
  };
}

/**
 * Two programs, each over two connections. Transactions of many events and those that are rolled back come
 * from beside them, like an import, of which no notification tells them.
 */
async function overTheWire(t: TestContext, config: DatabaseConfig, database: Database): Promise<Sides> {
  const connect = async (): Promise<LogAccess> => {
    const appConfig = testConfig({ database: config });
    const app = await startApp(appConfig, createLogger(appConfig));
    cleanUpAfter(t, app.close);
    return accessByClient(createGrpcTransport({ baseUrl: app.url }));
  };
  const accesses = [await connect(), await connect()] as const;
  const target = (access: LogAccess): WriterTarget => ({
    access,
    database,
    write: (work) => createEventWriter(database).write(work),
  });
  return {
    database,
    targets: [target(accesses[0]), target(accesses[1])],
    accesses,
    progressMs: [100, 150],
  };
}
