import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { DataDirLockedError, lockDataDir } from "../src/platform/data-dir-lock.ts";

const lockModule = pathToFileURL(join(import.meta.dirname, "../src/platform/data-dir-lock.ts")).href;

/** Says `ready`, takes the lock whenever it is told to, says what came of it, and keeps it until its input ends. */
const contender = `
  import { lockDataDir } from ${JSON.stringify(lockModule)};
  console.log("ready");
  process.stdin.on("data", async () => {
    const lock = await lockDataDir(process.argv[1]).catch((error) => void console.log(error.message));
    if (lock !== undefined) console.log("locked");
  });
`;

interface Contender {
  readonly pid: number;
  /** Tries to take the lock; gives `locked` or the error's message. */
  lock(): Promise<string>;
  end(signal?: NodeJS.Signals): Promise<void>;
}

async function startContender(t: TestContext, dataDir: string): Promise<Contender> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", contender, dataDir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const closed = once(child, "close");
  t.after(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  assert.equal((await lines.next()).value, "ready");
  return {
    pid: child.pid ?? assert.fail("it did not start"),
    async lock() {
      child.stdin.write("go\n");
      return (await lines.next()).value ?? "ended";
    },
    async end(signal) {
      signal === undefined ? child.stdin.end() : child.kill(signal);
      await closed;
    },
  };
}

async function makeDataDir(t: TestContext): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), "user-bridge-lock-"));
  t.after(() => rm(dataDir, { recursive: true }));
  return dataDir;
}

test("a second process is refused, and told who holds the lock and where that serves", async (t) => {
  const dataDir = await makeDataDir(t);
  const lock = await lockDataDir(dataDir);
  t.after(() => lock.release());
  const second = await startContender(t, dataDir);
  assert.match(await second.lock(), new RegExp(`in use: process ${process.pid} holds its lock\\. Stop`));
  await lock.announce("http://127.0.0.1:4711");
  assert.match(
    await second.lock(),
    new RegExp(`process ${process.pid} .* serves at http://127\\.0\\.0\\.1:4711\\.`),
  );
});

test("the same process is refused as another one is", async (t) => {
  const dataDir = await makeDataDir(t);
  const lock = await lockDataDir(dataDir);
  t.after(() => lock.release());
  await lock.announce("http://127.0.0.1:4711");
  await assert.rejects(lockDataDir(dataDir), (error) => {
    assert.ok(error instanceof DataDirLockedError);
    assert.equal(error.holderPid, process.pid);
    assert.equal(error.holderUrl, "http://127.0.0.1:4711");
    return true;
  });
  // The refused attempt must not have loosened the first one's hold.
  assert.match(await (await startContender(t, dataDir)).lock(), /in use/);
});

test("a released lock is free, leaves no record, and says nothing more", async (t) => {
  const dataDir = await makeDataDir(t);
  const first = await lockDataDir(dataDir);
  await first.release();
  assert.equal(existsSync(join(dataDir, "lock")), false);
  const second = await lockDataDir(dataDir);
  t.after(() => second.release());
  await first.announce("http://127.0.0.1:1");
  await first.release();
  assert.equal(JSON.parse(await readFile(join(dataDir, "lock"), "utf8")).url, undefined);
  assert.match(await (await startContender(t, dataDir)).lock(), /in use/);
});

test("the lock of a process that was killed is free at once", async (t) => {
  const dataDir = await makeDataDir(t);
  const first = await startContender(t, dataDir);
  assert.equal(await first.lock(), "locked");
  await assert.rejects(lockDataDir(dataDir), { holderPid: first.pid });
  await first.end("SIGKILL");
  assert.equal(JSON.parse(await readFile(join(dataDir, "lock"), "utf8")).pid, first.pid);
  await (await lockDataDir(dataDir)).release();
});

const leftBehind = {
  "names a process that is gone": JSON.stringify({ pid: 2 ** 22 + 1, host: "here" }),
  "names a process that got the id later": JSON.stringify({
    pid: process.ppid,
    host: "here",
    startTime: "1",
  }),
  "names this process, as in a container that began anew": JSON.stringify({ pid: process.pid, host: "here" }),
  "is half written": '{"pid":12',
  "is empty": "",
};

for (const [what, record] of Object.entries(leftBehind)) {
  test(`a record without a holder that ${what} keeps nobody out`, async (t) => {
    const dataDir = await makeDataDir(t);
    await writeFile(join(dataDir, "lock"), record);
    const lock = await lockDataDir(dataDir);
    t.after(() => lock.release());
    assert.equal(JSON.parse(await readFile(join(dataDir, "lock"), "utf8")).pid, process.pid);
  });
}

test("of ten processes that find a dead one's lock at once exactly one gets it", async (t) => {
  const dataDir = await makeDataDir(t);
  const dead = await startContender(t, dataDir);
  assert.equal(await dead.lock(), "locked");
  await dead.end("SIGKILL");
  const contenders = await Promise.all(Array.from({ length: 10 }, () => startContender(t, dataDir)));
  const answers = await Promise.all(contenders.map((one) => one.lock()));
  assert.equal(answers.filter((answer) => answer === "locked").length, 1, answers.join("\n"));
  assert.equal(answers.filter((answer) => answer.includes("in use")).length, 9, answers.join("\n"));
});

test("a folder that cannot be written to is named with the reason", async (t) => {
  const dataDir = await makeDataDir(t);
  await writeFile(join(dataDir, "file"), "");
  await assert.rejects(lockDataDir(join(dataDir, "file", "below")), { code: "ENOTDIR" });
});
