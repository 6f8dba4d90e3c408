import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { withDeadline } from "./support/with-deadline.ts";

const launcher = join(import.meta.dirname, "../bin/user-bridge.js");

/** A Node that runs TypeScript, and one that does not and has to start the one that the package brings along. */
const runtimes = { "a present Node": [], "an older Node": ["--no-strip-types"] };

function launch(t: TestContext, flags: readonly string[], args: readonly string[], variables = {}) {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [...flags, launcher, ...args], {
    cwd: tmpdir(),
    env: { PATH, HOME, ...variables },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = once(child, "close");
  cleanUpAfter(t, async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { child, ended, stdout: () => stdout };
}

async function launchServer(t: TestContext, flags: readonly string[]) {
  const [backend] = backends;
  assert.ok(backend);
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const { config } = database;
  assert.ok(config.kind === "embedded");
  const listen = { LISTEN: "127.0.0.1:0", INTERNAL_LISTEN: "127.0.0.1:0" };
  const variables = { ...database.variables, ...listen, LOG_LEVEL: "warn" };
  const server = launch(t, flags, ["serve"], variables);
  await withDeadline(
    "the server's start",
    new Promise<void>((resolve) => {
      server.child.stdout.on("data", () => server.stdout().includes("\nstream:") && resolve());
    }),
  );
  // The lock says which process serves: the launcher itself, or its child.
  const record = JSON.parse(await readFile(join(config.dataDir, "lock"), "utf8")) as { pid: number };
  return { ...server, servingPid: record.pid };
}

for (const [name, flags] of Object.entries(runtimes)) {
  describe(`bin/user-bridge.js under ${name}`, () => {
    test("runs a command from any folder, and ends with its status", async (t) => {
      const help = launch(t, flags, ["--help"]);
      assert.deepEqual(await help.ended, [0, null]);
      assert.match(help.stdout(), /^Usage: user-bridge/);
      assert.deepEqual(await launch(t, flags, ["import", "/nowhere.csv"]).ended, [1, null]);
    });

    test("serves until SIGTERM, and then ends well", async (t) => {
      const server = await launchServer(t, flags);
      assert.equal(server.servingPid === server.child.pid, flags.length === 0);
      server.child.kill("SIGTERM");
      assert.deepEqual(await withDeadline("the end", server.ended), [0, null]);
    });
  });
}

test("an older Node's launcher ends with 128 and the number of the signal that ended its child", async (t) => {
  const server = await launchServer(t, runtimes["an older Node"]);
  process.kill(server.servingPid, "SIGKILL");
  assert.deepEqual(await withDeadline("the end", server.ended), [128 + 9, null]);
});
