import { draftEvent } from "../events/event.ts";
import { createEventWriter } from "../events/event-writer.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import { findNameHolders, insertUsers } from "../users/user.repository.ts";
import type { User } from "../users/user.ts";
import { commandCaller } from "../writes/command-caller.ts";
import type { WriteRecord } from "../writes/write-record.ts";
import { openMigratedDatabase } from "./migrated-database.ts";
import type { Outcome, Registrar } from "./registrar.ts";

/**
 * Registers straight into the database, a transaction a call.
 *
 * @throws as {@link openMigratedDatabase}
 */
export async function openDatabaseRegistrar(config: Config, logger: Logger): Promise<Registrar> {
  const database = await openMigratedDatabase(config, logger);
  const { record } = commandCaller("import", (user: User) => user.id);
  return {
    description: database.description,
    async *register(users) {
      yield* await registerTogether(database.queries, users, record);
    },
    close: () => database.close(),
  };
}

async function registerTogether(
  database: Database,
  users: readonly User[],
  record: (user: User) => WriteRecord,
): Promise<readonly Outcome[]> {
  return createEventWriter(database).write(async (transaction) => {
    const taken = await insertUsers(transaction, users);
    const added = users.filter((user) => !taken.has(user.id));
    const refused = users.filter((user) => taken.has(user.id));
    const emails = refused.map((user) => user.email);
    const found = refused.length === 0 ? [] : await findNameHolders(transaction, emails, []);
    const holders = new Map(found.map((holder) => [holder.email, holder]));
    const places = new Map(users.map((user, place) => [user.id, place]));
    return {
      result: users.map((user, place): Outcome => {
        const what = taken.get(user.id);
        if (what === undefined) {
          return { kind: "added" };
        }
        const holder = holders.get(user.email);
        // Who comes later in this very call may hold the email by now, and is not why this user was refused.
        const isLater = holder !== undefined && (places.get(holder.id) ?? -1) > place;
        return holder?.username === user.username && !isLater
          ? { kind: "present" }
          : { kind: "refused", reason: isLater ? "username taken" : `${what} taken` };
      }),
      events: added.map((user) => draftEvent("user_registered", user, user.createdAt)),
      records: added.map(record),
    };
  });
}
