import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client as PostgresClient } from "pg";
import type { DatabaseConfig } from "../src/platform/config.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createLedger, settle, stepOf, type WriterLedger, writeUntilGone } from "./support/crash-writer.ts";
import { backends } from "./support/databases.ts";
import { replay, type WholeLog } from "./support/event-archive.ts";
import { listUsers, readLog } from "./support/fault-log.ts";
import { accessByClient, type LogAccess, Refusal } from "./support/log-access.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";
import { checkHistory, findPosition, type StreamHistory } from "./support/stream-history.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 crashes ten times as often. */
const rounds = 4 * Number(process.env["TEST_SCALE"] ?? 1);
const writerCount = 6;

for (const backend of backends) {
  test(`SIGKILL under load loses and halves no acknowledged write, and streams resume whole, on the ${backend.name} database`, (t) =>
    withSeed(async (random) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const ledgers = Array.from({ length: writerCount }, (_, index) => createLedger(`w${index}`));
      const histories = filters.map(
        (filter): StreamHistory => ({ filter, startsAtLeast: 0n, startsAtMost: 0n, items: [] }),
      );
      let server: ServerProcess | undefined;
      cleanUpAfter(t, () => server?.stop("SIGKILL"));

      for (let round = 0; round < rounds; round++) {
        server = await startServerProcess(database.variables);
        await checkEverything(server, ledgers, histories);
        await writeAndReadUntilKilled(random, server, ledgers, histories);
        await untilConnectionsAreGone(database.config);
      }
      server = await startServerProcess(database.variables);
      const log = await checkEverything(server, ledgers, histories);
      await readToEnd(server, histories, BigInt(log.length));
      for (const history of histories) checkHistory(history, log);
    }));
}

const filters = [
  { types: [], userIds: [] },
  { types: ["user_registered", "user_deleted"], userIds: [] },
  { types: ["user_updated"], userIds: [] },
];

function connect({ url }: ServerProcess): LogAccess {
  return accessByClient(createGrpcTransport({ baseUrl: url }));
}

/** Kills the server in the middle of it all, and waits until everybody has noticed. */
async function writeAndReadUntilKilled(
  random: SeededRandom,
  server: ServerProcess,
  ledgers: readonly WriterLedger[],
  histories: readonly StreamHistory[],
): Promise<void> {
  let left = random.integer(20, 200);
  const onAcknowledged = () => {
    left -= 1;
    if (left === 0) server.child.kill("SIGKILL");
  };
  const writing = ledgers.map((ledger) =>
    writeUntilGone(random.fork(), connect(server), ledger, onAcknowledged),
  );
  const reading = histories.map((history) => readUntilGone(connect(server), history));
  await withDeadline("the server's end", Promise.all([...writing, ...reading]));
  assert.ok(
    ledgers.some((ledger) => ledger.pending !== undefined),
    "nothing was under way",
  );
  await server.stop("SIGKILL");
}

async function readUntilGone(access: LogAccess, history: StreamHistory): Promise<void> {
  try {
    for await (const item of resume(access, history, new AbortController().signal)) history.items.push(item);
  } catch (error) {
    if (error instanceof Refusal) throw error;
  }
}

function resume(access: LogAccess, history: StreamHistory, signal: AbortSignal) {
  const position = findPosition(history);
  const start = position === undefined ? "earliest" : { cursor: position.cursor };
  return access.stream({ start, ...history.filter, progressIntervalMs: 100 }, signal);
}

async function readToEnd(
  server: ServerProcess,
  histories: readonly StreamHistory[],
  end: bigint,
): Promise<void> {
  for (const history of histories) {
    const leaving = new AbortController();
    for await (const item of resume(connect(server), history, leaving.signal)) {
      history.items.push(item);
      if (item.revision >= end) break;
    }
    leaving.abort();
  }
}

/**
 * Checks that the users are what the events add up to, so that no write was halved; that each writer's events
 * are its acknowledged writes, in its order; and that its last write is there with its event or not at all.
 */
async function checkEverything(
  server: ServerProcess,
  ledgers: readonly WriterLedger[],
  histories: readonly StreamHistory[],
): Promise<WholeLog> {
  const log = await readLog(connect(server));
  assert.deepEqual(
    replay(log),
    await listUsers(createGrpcTransport({ baseUrl: server.url })),
    "the events do not add up to the users",
  );
  for (const ledger of ledgers) {
    const own = log.filter((event) => event.user.username.startsWith(`${ledger.name}n`));
    const { acknowledged, pending } = ledger;
    if (pending !== undefined && own.length > acknowledged.length) {
      acknowledged.push(pending);
      settle(ledger, pending, own.at(-1)?.user.id ?? "");
    }
    ledger.pending = undefined;
    assert.deepEqual(own.map(stepOf), acknowledged, `the events of ${ledger.name} are not its writes`);
  }
  for (const history of histories) checkHistory(history, log);
  return log;
}

/** A PostgreSQL that was sent a commit carries it out, also when the sender has died; the check must not be earlier. */
async function untilConnectionsAreGone(config: DatabaseConfig): Promise<void> {
  if (config.kind === "embedded") return;
  const client = new PostgresClient({ connectionString: config.url });
  await client.connect();
  const others = async () => {
    const { rows } = await client.query<{ others: string }>(
      "select count(*) as others from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    return rows[0]?.others !== "0";
  };
  try {
    while (await others()) await setImmediate();
  } finally {
    await client.end();
  }
}
