import { draftEvent } from "../events/event.ts";
import { writeWithEvents } from "../events/event-log.ts";
import type { Config } from "../platform/config.ts";
import { openDatabase } from "../platform/database.ts";
import type { Logger } from "../platform/logger.ts";
import { migrate, requireCurrentSchema } from "../platform/migrator.ts";
import type { Database, Schema, Transaction } from "../schema.ts";
import { insertUsers, type Taken } from "../users/user.repository.ts";
import type { User } from "../users/user.ts";
import type { Outcome, Registrar } from "./registrar.ts";

/**
 * Registers straight into the database, a transaction a call, after bringing its schema up to date as `serve`
 * does.
 *
 * @throws DataDirLockedError, SchemaError, the database's error
 */
export async function openDatabaseRegistrar(config: Config, logger: Logger): Promise<Registrar> {
  const database = await openDatabase<Schema>(config.database, logger);
  try {
    if (config.migrate === "on") {
      await migrate(database.queries, logger);
    } else {
      await requireCurrentSchema(database.queries);
    }
  } catch (error) {
    await database.close();
    throw error;
  }
  return {
    description: database.description,
    async *register(users) {
      yield* await registerTogether(database.queries, users);
    },
    close: () => database.close(),
  };
}

async function registerTogether(database: Database, users: readonly User[]): Promise<readonly Outcome[]> {
  const { result } = await writeWithEvents(database, async (transaction) => {
    const taken = await insertUsers(transaction, users);
    const present = await findPresent(
      transaction,
      users.filter((user) => taken.has(user.id)),
    );
    return {
      result: users.map((user) => toOutcome(taken.get(user.id), present.has(user.id))),
      events: users
        .filter((user) => !taken.has(user.id))
        .map((user) => draftEvent("user_registered", user, user.createdAt)),
    };
  });
  return result;
}

/** Which of the users are there already, under ids of their own: by email and username both. */
async function findPresent(transaction: Transaction, users: readonly User[]): Promise<Set<string>> {
  if (users.length === 0) {
    return new Set();
  }
  const holders = await transaction
    .selectFrom("users")
    .select(["email", "username"])
    .where(
      "email",
      "in",
      users.map((user) => user.email),
    )
    .execute();
  const usernames = new Map(holders.map((holder) => [holder.email, holder.username]));
  return new Set(users.filter((user) => usernames.get(user.email) === user.username).map((user) => user.id));
}

function toOutcome(taken: Taken | undefined, isPresent: boolean): Outcome {
  if (taken === undefined) {
    return { kind: "added" };
  }
  return isPresent ? { kind: "present" } : { kind: "refused", reason: `${taken} taken` };
}
