import { createEventWriter } from "../events/event-writer.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { type AccountService, createAccountService } from "../users/account.service.ts";
import { createUserWriter } from "../users/user-writer.ts";
import { openMigratedDatabase } from "./migrated-database.ts";

/** The accounts of a database, for a process that serves nobody. */
export interface AccountDatabase {
  readonly accounts: AccountService;
  close(): Promise<void>;
}

/** Opens the accounts. @throws as {@link openMigratedDatabase} */
export async function openAccountDatabase(config: Config, logger: Logger): Promise<AccountDatabase> {
  const { queries: database, close } = await openMigratedDatabase(config, logger);
  const now = (): Date => new Date();
  const log = createEventWriter(database);
  const writer = createUserWriter(database, log, now);
  return { accounts: createAccountService({ database, log, writer, now }), close };
}
