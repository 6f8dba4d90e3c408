import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { type Kysely, sql } from "kysely";
import { DEFAULT_MIGRATION_TABLE, type Migration, Migrator } from "kysely/migration";
import { isDatabaseUnavailable } from "./database-errors.ts";
import type { Logger } from "./logger.ts";

/** The database's schema is not the one that this program was written for. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

const folder = join(import.meta.dirname, "../../migrations");

/**
 * Brings the schema up to date, one migration after the other, under a lock that all processes of the
 * database share.
 *
 * @returns the names of the migrations that were applied now
 * @throws SchemaError where a migration fails; what came before it stays applied
 * @throws the driver's error where the database cannot be reached
 */
export async function migrate<Schema>(database: Kysely<Schema>, logger: Logger): Promise<string[]> {
  if (await isCurrent(database)) {
    return [];
  }
  const { error, results = [] } = await createMigrator(database).migrateToLatest();
  const applied = results.filter((result) => result.status === "Success").map((r) => r.migrationName);
  for (const name of applied) {
    logger.info({ migration: name }, "migrated");
  }
  if (isDatabaseUnavailable(error)) {
    throw error;
  }
  if (error !== undefined) {
    const failed = results.find((result) => result.status === "Error")?.migrationName;
    const what = failed === undefined ? "the schema could not be migrated" : `migration ${failed} failed`;
    throw new SchemaError(`${what}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return applied;
}

/**
 * Checks that every migration has been applied.
 *
 * @throws SchemaError that names the missing ones and the command that applies them
 */
export async function requireCurrentSchema<Schema>(database: Kysely<Schema>): Promise<void> {
  const migrations = await createMigrator(database).getMigrations();
  const pending = migrations.filter((migration) => migration.executedAt === undefined);
  if (pending.length > 0) {
    throw new SchemaError(
      `the database's schema is behind by ${pending.map((migration) => migration.name).join(", ")} and MIGRATE is off; run: user-bridge migrate`,
    );
  }
}

function createMigrator<Schema>(database: Kysely<Schema>): Migrator {
  return new Migrator({ db: database, provider: { getMigrations: loadMigrations } });
}

/**
 * Whether the database records exactly our migrations. That is so at almost every start, and one query tells;
 * the migrator would read the whole catalogue first. What it records is committed, so no lock is needed.
 */
async function isCurrent<Schema>(database: Kysely<Schema>): Promise<boolean> {
  try {
    const applied = await sql<{ name: string }>`
      select name from ${sql.table(DEFAULT_MIGRATION_TABLE)} order by timestamp, name`.execute(database);
    const names = (await listFiles()).map(toName);
    return isDeepStrictEqual(
      applied.rows.map((row) => row.name),
      names,
    );
  } catch (error) {
    if (isDatabaseUnavailable(error)) {
      throw error;
    }
    // Before the first migration there is no such table. Of anything else that is wrong, the migrator tells.
    return false;
  }
}

async function loadMigrations(): Promise<Record<string, Migration>> {
  const migrations = (await listFiles()).map(async (file) => {
    const migration = (await import(pathToFileURL(join(folder, file)).href)) as Migration;
    return [toName(file), migration] as const;
  });
  return Object.fromEntries(await Promise.all(migrations));
}

async function listFiles(): Promise<string[]> {
  return (await readdir(folder)).filter((file) => /^\d{4}_.*\.[jt]s$/.test(file)).sort();
}

function toName(file: string): string {
  return file.replace(/\.[jt]s$/, "");
}
