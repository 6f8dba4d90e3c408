import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { patientMs, startFaultLoad } from "./support/fault-load.ts";
import { listUsers, readLog } from "./support/fault-log.ts";
import { neverBusy, untilCallSucceeds } from "./support/fault-system.ts";
import { accessByClient } from "./support/log-access.ts";
import { withSeed } from "./support/seeded-random.ts";
import { startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** More than the database as it begins, and what a process keeps free. */
const diskSize = "192m";

const whyNoDisk = findWhyNoDisk();

test(
  "a full disk under the embedded database refuses writes by their name, loses none, and keeps none from reading",
  {
    skip: whyNoDisk,
  },
  (t) =>
    withSeed(async (random) => {
      const disk = await mkdtemp(join(tmpdir(), "user-bridge-disk-"));
      cleanUpAfter(t, () => rm(disk, { recursive: true }));
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskSize}`, "tmpfs", disk]);
      cleanUpAfter(t, () => execFileSync("umount", ["--lazy", disk]));
      const dataDir = await copyDatabase(disk);
      const server = await startServerProcess({ ...neverBusy, DATA_DIR: dataDir });
      cleanUpAfter(t, () => server.stop("SIGKILL"));
      const load = startFaultLoad(random, server.url, { callTimeoutMs: patientMs });
      cleanUpAfter(t, load.close);
      await load.afterWrites(random.integer(20, 100));

      const ballast = join(disk, "ballast");
      await writeFile(ballast, Buffer.alloc(freeBytes(disk) - random.integer(0, 12) * 1_024 ** 2));
      const { lookedUp } = load.record;
      await withDeadline("refusals", load.record.failed.afterNext(40));
      assert.deepEqual([...load.record.failures.keys()], ["ResourceExhausted"]);
      assert.ok(load.record.lookedUp > lookedUp, "nobody was looked up");
      await readLog(accessByClient(createGrpcTransport({ baseUrl: server.url })));

      await rm(ballast);
      await load.afterWrites(20);
      await load.stopWriting();
      await load.check();
      const before = await listUsers(createGrpcTransport({ baseUrl: server.url }));
      await server.stop("SIGTERM");

      const restarted = await startServerProcess({ ...neverBusy, DATA_DIR: dataDir });
      cleanUpAfter(t, () => restarted.stop("SIGKILL"));
      await untilCallSucceeds(restarted.url);
      assert.deepEqual(await listUsers(createGrpcTransport({ baseUrl: restarted.url })), before);
    }),
);

/** Puts a fresh embedded database on the disk. @returns its folder */
async function copyDatabase(disk: string): Promise<string> {
  const [embedded] = backends;
  const database = await embedded?.create();
  assert.ok(database?.config.kind === "embedded");
  const dataDir = join(disk, "data");
  await cp(database.config.dataDir, dataDir, { recursive: true });
  await database.drop();
  return dataDir;
}

function freeBytes(disk: string): number {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
}

/** Why there can be no disk of the test's own; false where there can. */
function findWhyNoDisk(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root may mount a disk, on Linux";
  try {
    execFileSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", tmpdir()], { stdio: "ignore" });
    return false;
  } catch {
    return "this machine lets not even root mount a disk";
  }
}
