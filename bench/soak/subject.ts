import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/platform/read-config.ts";
import {
  createApiKey,
  createSuperuser,
  createUser,
  onDatabase,
  type TestAccount,
  type TestApiKey,
} from "../../test/support/credentials.ts";
import { undoAtEnd } from "../harness/clean-up.ts";
import { withDatabase } from "../harness/database.ts";
import { repository } from "../harness/places.ts";
import { startPostgres } from "../harness/postgres.ts";
import { environment, findFreePort, type Running, startProcess } from "../harness/process.ts";
import type { SoakOptions } from "./options.ts";

/** The server under test, and who may call it. */
export interface SoakSubject {
  readonly server: Running;
  readonly url: string;
  readonly internalUrl: string;
  /** For people: what it keeps its data in. */
  readonly database: string;
  readonly superuser: TestAccount;
  /** May read, and not write. */
  readonly reader: TestAccount;
  /** May do with users and events whatever there is to do. */
  readonly apiKey: TestApiKey;
}

/**
 * Starts the real process with its built-in settings but for AUTH=on, on a database of its own. Its log goes where nobody
 * reads it, as much as there is of it.
 */
export async function startSubject({ database }: SoakOptions): Promise<SoakSubject> {
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-soak-"));
  undoAtEnd(() => rm(folder, { recursive: true, force: true }));
  const variables = {
    AUTH: "on",
    DATA_DIR: folder,
    KEY_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    ...(await makeDatabase(database)),
  };
  const config = readConfig(variables, "serve");
  const callers = await onDatabase(config.database, async (queries) => ({
    superuser: await createSuperuser(queries),
    reader: await createUser(queries, ["users:read"]),
    apiKey: await createApiKey(queries, ["users:read", "users:write", "users:delete", "events:read"]),
  }));
  const [port, internalPort] = [await findFreePort(), await findFreePort()];
  const listen = { LISTEN: `127.0.0.1:${port}`, INTERNAL_LISTEN: `127.0.0.1:${internalPort}` };
  const server = await startProcess(
    ["node", join(repository, "src/main.ts"), "serve"],
    /user-bridge serves at/,
    { cwd: repository, env: environment({ ...variables, ...listen }) },
  );
  return {
    ...callers,
    server,
    url: `http://${listen.LISTEN}`,
    internalUrl: `http://${listen.INTERNAL_LISTEN}`,
    database: config.database.kind === "embedded" ? "the embedded database" : "PostgreSQL",
  };
}

async function makeDatabase(database: SoakOptions["database"]): Promise<Record<string, string>> {
  if (database.kind === "embedded") return {};
  const name = `user_bridge_soak_${randomUUID().replaceAll("-", "")}`;
  const server = database.kind === "url" ? database.url : (await startPostgres()).url("postgres");
  await withDatabase(server, (client) => client.query(`create database ${name}`));
  if (database.kind === "url") {
    undoAtEnd(() =>
      withDatabase(server, async (client) => {
        await client.query(`drop database if exists ${name} with (force)`);
      }),
    );
  }
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { DATABASE_URL: url.href };
}
