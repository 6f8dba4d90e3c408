import { randomUUID } from "node:crypto";
import { cpSync, existsSync, statfsSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Client } from "pg";
import packageJson from "../../package.json" with { type: "json" };
import type { DatabaseConfig } from "../../src/platform/config.ts";

/** Encrypts the signing keys of all tests' databases, which need no folder then. */
export const testKeyEncryptionKey = Buffer.alloc(32, "test").toString("base64");

/** A fresh database of a test's own. */
export interface TestDatabase {
  readonly config: DatabaseConfig;
  /** The same as environment variables, for a process. */
  readonly variables: Readonly<Record<string, string>>;
  /** Removes it. Whatever uses it must have been closed. */
  drop(): Promise<void>;
}

/** A kind of database that the suite runs on. */
export interface Backend {
  readonly name: "embedded" | "postgres";
  create(): Promise<TestDatabase>;
}

/** Room for as many databases as there ever are at once, and to spare. */
const roomBytes = 2 * 1024 ** 3;

/**
 * Where databases are kept: in memory, where the system has a filesystem there with room enough. One is a thousand
 * files, which a disk takes a second or two to copy.
 */
const databaseFolder = hasRoom("/dev/shm") ? "/dev/shm" : tmpdir();

function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize > roomBytes;
}

const embedded: Backend = {
  name: "embedded",
  async create() {
    const dataDir = await mkdtemp(join(databaseFolder, "user-bridge-test-"));
    // Not the asynchronous one, which takes twice as long.
    cpSync(await templateDirectory(), join(dataDir, "pglite"), { recursive: true });
    return {
      config: { kind: "embedded", dataDir },
      variables: { DATA_DIR: dataDir },
      drop: () => rm(dataDir, { recursive: true, force: true }),
    };
  },
};

/**
 * A database directory as PGlite first makes it, without any migration. Making one takes seconds, copying it
 * a fraction of one.
 */
async function templateDirectory(): Promise<string> {
  const template = join(
    databaseFolder,
    `user-bridge-template-${packageJson.dependencies["@electric-sql/pglite"]}`,
  );
  if (!existsSync(template)) {
    const directory = await mkdtemp(join(databaseFolder, "user-bridge-template-"));
    await (await PGlite.create(join(directory, "pglite"))).close();
    // The test files run in parallel: the first to finish provides the template, the others use it.
    await rename(join(directory, "pglite"), template).catch(() => {});
    await rm(directory, { recursive: true, force: true });
  }
  return template;
}

function postgres(serverUrl: string): Backend {
  async function onServer(statement: string): Promise<void> {
    const client = new Client({ connectionString: serverUrl });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
  return {
    name: "postgres",
    async create() {
      const name = `user_bridge_test_${randomUUID().replaceAll("-", "")}`;
      await onServer(`create database ${name}`);
      const url = new URL(serverUrl);
      url.pathname = `/${name}`;
      return {
        config: { kind: "postgres", url: url.href, poolSize: 10 },
        variables: { DATABASE_URL: url.href, AUTH: "off", KEY_ENCRYPTION_KEY: testKeyEncryptionKey },
        drop: () => onServer(`drop database if exists ${name} with (force)`),
      };
    },
  };
}

const serverUrl = process.env["TEST_DATABASE_URL"];

/** PGlite always; PostgreSQL too where TEST_DATABASE_URL names a server on which databases can be created. */
export const backends: readonly Backend[] = serverUrl ? [embedded, postgres(serverUrl)] : [embedded];
