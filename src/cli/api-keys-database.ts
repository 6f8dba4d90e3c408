import { type ApiKeyService, createApiKeyService } from "../api-keys/api-key.service.ts";
import { DataDirLockedError } from "../platform/data-dir-lock.ts";
import { DomainError } from "../platform/errors.ts";
import { createLogger } from "../platform/logger.ts";
import { readConfig } from "../platform/read-config.ts";
import { CommandError } from "./failure.ts";
import { openMigratedDatabase } from "./migrated-database.ts";

/**
 * Works on the API keys of the database that `serve` would use.
 *
 * @throws CommandError where somebody has the embedded database open, or the keys refuse what is asked
 */
export async function withApiKeys<Result>(
  variables: NodeJS.ProcessEnv,
  work: (keys: ApiKeyService) => Promise<Result>,
): Promise<Result> {
  const config = readConfig(variables, "command");
  const database = await openMigratedDatabase(config, createLogger(config)).catch(explainLock);
  try {
    return await work(createApiKeyService(database.queries, () => new Date()));
  } catch (error) {
    throw error instanceof DomainError ? new CommandError(error.message, { cause: error }) : error;
  } finally {
    await database.close();
  }
}

function explainLock(error: unknown): never {
  throw error instanceof DataDirLockedError
    ? new CommandError(`${error.message}. A server that runs can do it itself: apikeys.v1.ApiKeyService`, {
        cause: error,
      })
    : error;
}
