import { draftEvent, type EventDraft } from "../../src/events/event.ts";
import { appendEvents } from "../../src/events/event-append.repository.ts";
import type { Written } from "../../src/events/event-writer.ts";
import { inTransaction } from "../../src/platform/transaction.ts";
import type { Database, Transaction } from "../../src/schema.ts";
import { insertUsers } from "../../src/users/user.repository.ts";
import { createUser, type User } from "../../src/users/user.ts";
import { type LogAccess, type PlainUser, Refusal } from "./log-access.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** What the writers know of each other and what they have done. */
export interface WriterRecord {
  /** Users that exist or once did. */
  readonly knownIds: string[];
  /** Every user that a committed write registered, and every user that one deleted. */
  readonly registeredIds: string[];
  readonly deletedIds: string[];
  /** Every state that a committed write reported. */
  readonly reported: PlainUser[];
  /** Ids of users and of events of transactions that were rolled back. */
  readonly rolledBackIds: string[];
  /** Called after each operation, whatever became of it. */
  readonly onOperation: () => void;
}

/** Where a writer writes. */
export interface WriterTarget {
  readonly access: LogAccess;
  readonly database: Database;
  /** A transaction of several events, by the log itself. */
  write<Result>(work: (transaction: Transaction) => Promise<Written<Result>>): Promise<Result>;
}

class DeliberateRollback extends Error {}

/** Names are few enough that writers collide on them. */
const nameCount = 150;

/** What a random operation may be refused for. */
const expectedReasons = new Set(["EMAIL_TAKEN", "USERNAME_TAKEN", "USER_NOT_FOUND"]);

/** Runs random writes, one after the other. */
export async function runWriter(
  random: SeededRandom,
  target: WriterTarget,
  record: WriterRecord,
  operations: number,
): Promise<void> {
  for (let done = 0; done < operations; done++) {
    try {
      await writeOnce(random, target, record);
    } catch (error) {
      const expected =
        error instanceof DeliberateRollback ||
        (error instanceof Refusal && expectedReasons.has(error.reason));
      if (!expected) throw error;
    }
    record.onOperation();
  }
}

async function writeOnce(random: SeededRandom, target: WriterTarget, record: WriterRecord): Promise<void> {
  const { access } = target;
  const id = random.pickAny(record.knownIds);
  const choice = random.integer(1, 100);
  if (choice <= 30 || id === undefined) {
    const registered = await access.register(randomEmail(random), randomName(random));
    record.knownIds.push(registered.id);
    record.registeredIds.push(registered.id);
  } else if (choice <= 50) {
    const change = random.oneIn(2) ? { email: randomEmail(random) } : { username: randomName(random) };
    record.reported.push(await access.update(id, change));
  } else if (choice <= 70) {
    record.reported.push(await access.setActive(id, random.oneIn(2)));
  } else if (choice <= 80) {
    await access.delete(id);
    record.deletedIds.push(id);
  } else if (choice <= 86) {
    const users = randomUsers(random);
    const inserted = await target.write((transaction) => registerAll(transaction, users));
    record.knownIds.push(...inserted);
    record.registeredIds.push(...inserted);
  } else if (choice <= 96) {
    await rollBack(random, target, record);
  } else {
    await target.write(async () => ({ result: undefined, events: [] }));
  }
}

/** Fails after its rows are in, and half of the time also after its events have taken their revisions. */
async function rollBack(random: SeededRandom, target: WriterTarget, record: WriterRecord): Promise<void> {
  const users = randomUsers(random);
  record.rolledBackIds.push(...users.map((user) => user.id));
  const appendsFirst = random.oneIn(2);
  await inTransaction(target.database, async (transaction) => {
    const { events } = await registerAll(transaction, users);
    record.rolledBackIds.push(...events.map((event) => event.id));
    if (appendsFirst && events.length > 0) {
      await appendEvents(transaction, events);
    }
    throw new DeliberateRollback();
  });
}

/** Registers those whose names are free. */
async function registerAll(transaction: Transaction, users: readonly User[]): Promise<Written<string[]>> {
  const refused = await insertUsers(transaction, users);
  const inserted = users.filter((user) => !refused.has(user.id));
  return {
    result: inserted.map((user) => user.id),
    events: inserted.map((user): EventDraft => draftEvent("user_registered", user, user.createdAt)),
  };
}

function randomUsers(random: SeededRandom): User[] {
  // In the order of their names, so that two such transactions wait for each other in one direction only.
  const names = Array.from({ length: random.integer(2, 25) }, () => randomName(random)).sort();
  return names.map((username) =>
    createUser({ email: `${username}@bulk.example.com`, username: `bulk_${username}` }, new Date()),
  );
}

function randomName(random: SeededRandom): string {
  return `name${random.integer(1, nameCount)}`;
}

function randomEmail(random: SeededRandom): string {
  return `${randomName(random)}@example.com`;
}
