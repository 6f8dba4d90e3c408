import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openSigningKeyBox } from "../src/auth/signing-key-encryption.ts";
import { lockDataDir } from "../src/platform/data-dir-lock.ts";
import { openEmbedded } from "../src/platform/embedded-database.ts";
import { keepToOwner } from "../src/platform/private-files.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import { createLogLines } from "./support/log-lines.ts";

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-rights-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true }));
  return folder;
}

/** Who may do what, e.g. `700`. */
async function rightsOf(...path: string[]): Promise<string> {
  return ((await stat(join(...path))).mode & 0o777).toString(8);
}

test("a fresh data directory and the database in it are their owner's alone", async (t) => {
  const dataDir = join(await makeFolder(t), "above", "data");
  const opened = await openEmbedded({ dataDir }, testLogger);
  cleanUpAfter(t, opened.close);
  await opened.lock?.announce("http://127.0.0.1:4711");
  assert.equal(await rightsOf(dataDir), "700");
  assert.equal(await rightsOf(dataDir, "pglite"), "700");
  for (const file of ["lock", "lock.sqlite"]) assert.equal(await rightsOf(dataDir, file), "600", file);
});

test("a database that others could read is its owner's alone from the next start on", async (t) => {
  const database = await backends[0]?.create();
  assert.ok(database?.config.kind === "embedded");
  cleanUpAfter(t, database.drop);
  const { dataDir } = database.config;
  await chmod(dataDir, 0o755);
  await chmod(join(dataDir, "pglite"), 0o755);
  const { logger, lines } = createLogLines();
  const opened = await openEmbedded({ dataDir }, logger);
  cleanUpAfter(t, opened.close);
  assert.equal(await rightsOf(dataDir, "pglite"), "700");
  // Whoever made that one may have others in mind who look into it.
  assert.equal(await rightsOf(dataDir), "755");
  assert.deepEqual(lines, []);
});

test("a lock that others could take is its owner's alone when it is next taken", async (t) => {
  const dataDir = await makeFolder(t);
  await (await lockDataDir(dataDir)).release();
  await chmod(join(dataDir, "lock.sqlite"), 0o644);
  const lock = await lockDataDir(dataDir);
  cleanUpAfter(t, lock.release);
  assert.equal(await rightsOf(dataDir, "lock.sqlite"), "600");
  await assert.rejects(lockDataDir(dataDir), { holderPid: process.pid });
});

test("the key-encryption key and the folder that is made for it are their owner's alone", async (t) => {
  const dataDir = join(await makeFolder(t), "data");
  await openSigningKeyBox({ keyFile: join(dataDir, "key-encryption-key") });
  assert.equal(await rightsOf(dataDir), "700");
  assert.equal(await rightsOf(dataDir, "key-encryption-key"), "600");
});

// Nobody may change the rights of what is in it, not even root.
const unchangeable = "/proc/self/task";

test("rights that cannot be changed are a warning", { skip: !existsSync(unchangeable) }, async () => {
  const { logger, lines } = createLogLines();
  await keepToOwner(unchangeable, logger);
  assert.deepEqual(
    lines.map(({ level, path }) => ({ level, path })),
    [{ level: 40, path: unchangeable }],
  );
});

test("what is its owner's alone is left as it is", async (t) => {
  const folder = join(await makeFolder(t), "folder");
  await mkdir(folder, { mode: 0o500 });
  await keepToOwner(folder, testLogger);
  assert.equal(await rightsOf(folder), "500");
});
