import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { backends } from "./support/databases.ts";
import { withDeadline } from "./support/with-deadline.ts";

const root = join(import.meta.dirname, "..");

/** A fenced block of the README: ```sh key=value … */
interface Block {
  readonly attributes: ReadonlyMap<string, string>;
  readonly script: string;
}

async function readBlocks(): Promise<Block[]> {
  const readme = await readFile(join(root, "README.md"), "utf8");
  return [...readme.matchAll(/^```sh(.*)\n([^`]+)^```$/gm)].map(([, attributes = "", script = ""]) => ({
    attributes: new Map(
      attributes
        .trim()
        .split(/\s+/)
        .map((pair) => pair.split("=", 2) as [string, string]),
    ),
    script,
  }));
}

/** Starts the server as the README says, but on free ports and in a folder of its own. */
async function startByNpm(dataDir: string, variables: Readonly<Record<string, string>> = {}) {
  const { PATH = "", HOME = "" } = process.env;
  const listen = { LISTEN: "127.0.0.1:0", INTERNAL_LISTEN: "127.0.0.1:0" };
  const npm = spawn("npm", ["start"], {
    cwd: root,
    env: { PATH, HOME, DATA_DIR: dataDir, ...listen, LOG_LEVEL: "warn", ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaints = "";
  npm.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaints += chunk;
  });
  const address = await withDeadline(
    "npm start",
    new Promise<string>((resolve, reject) => {
      npm.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
        const match = /serves at http:\/\/(\S+)\n.*\n\n.+\n$/s.exec(output);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
      npm.once("close", () => reject(new Error(`npm start ended: ${output}${complaints}`)));
    }),
    60_000,
  );
  const stop = async (): Promise<void> => {
    // npm hands the signal on to its child and to no grandchild: a shell in between would leave the server behind.
    npm.kill("SIGTERM");
    const [code] = await withDeadline("npm start to end", once(npm, "close"));
    assert.equal(code, 0);
  };
  return { address, output, stop };
}

/** Runs a script as somebody would who pasted it. @returns what it printed */
async function run(
  script: string,
  expectedExit = 0,
  { input = "", variables = {} }: { input?: string; variables?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const shell = spawn("sh", ["-ec", script], { cwd: root, env: { ...process.env, ...variables } });
  shell.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(shell.stdout),
    text(shell.stderr),
    once(shell, "close"),
  ]);
  assert.equal(code, expectedExit, `${script}\n${stdout}\n${stderr}`);
  assert.doesNotMatch(stdout, /"code":/, script);
  return stdout;
}

describe("the README", () => {
  test("its calls, pasted in order, and those that npm start prints, do what they say", async (t) => {
    const [embedded] = backends;
    assert.ok(embedded);
    const database = await embedded.create();
    t.after(database.drop);
    const { address, output, stop } = await startByNpm(database.variables["DATA_DIR"] ?? "");
    t.after(stop);

    const internalAddress = /^internal: http:\/\/(\S+)$/m.exec(output)?.[1] ?? assert.fail(output);
    const blocks = (await readBlocks()).filter(({ attributes }) => !attributes.has("run"));
    assert.ok(blocks.length >= 4);
    for (const { attributes, script } of blocks) {
      const tool = attributes.get("needs");
      if (tool !== undefined && spawnSync("which", [tool]).status !== 0) {
        t.diagnostic(`left out the README's ${tool} calls: ${tool} is not installed`);
        continue;
      }
      const stdout = await run(
        script.replaceAll("127.0.0.1:8080", address).replaceAll("127.0.0.1:50053", internalAddress),
        Number(attributes.get("exits") ?? 0),
      );
      assert.match(stdout, /ada|grace|SERVING|user_bridge_\w+_total.*x-request-id: from-me/s);
    }

    for (const [name, expected] of [
      ["get", /"username":"ada"/],
      ["stream", /"type":"user_registered".*"username":"ada"/],
    ] as const) {
      const line = new RegExp(`^${name}: +(.*)$`, "m").exec(output)?.[1] ?? assert.fail(`no line to ${name}`);
      // A stream is left after a while; curl's exit status 28 says so.
      const script = name === "stream" ? line.replace("curl ", "curl --max-time 2 ") : line;
      assert.match(await run(script, name === "stream" ? 28 : 0), expected);
    }
    // Who has registered in the meantime is not asked to do it again.
    for (const [name, known, newcomer, expected] of [
      ["register", "ada", "hedy", /"username":"hedy"/],
      ["account", "grace", "joan", /"email":"joan@example.com"/],
      ["log in", "grace", "joan", /"accessToken":"/],
      ["search", "grace", "joan", /"email":"joan@example.com"/],
    ] as const) {
      const line = new RegExp(`^${name}: +(.*)$`, "m").exec(output)?.[1] ?? assert.fail(`no line to ${name}`);
      assert.match(await run(line.replaceAll(known, newcomer), 0), expected);
    }
  });

  test("its first API key and superuser let their holders in where AUTH=on, which refuses to start without", async (t) => {
    const [embedded] = backends;
    assert.ok(embedded);
    const database = await embedded.create();
    t.after(database.drop);
    const dataDir = database.variables["DATA_DIR"] ?? "";
    const auth = { AUTH: "on", DATA_DIR: dataDir };
    await assert.rejects(startByNpm(dataDir, auth), /AUTH is on, and nobody could call.*api-keys create/s);

    const blocks = await readBlocks();
    const script = (name: string) =>
      blocks.find(({ attributes }) => attributes.get("run") === name)?.script ??
      assert.fail(`no block ${name}`);
    const before = await run(`${script("before-auth")}echo "$KEY"`, 0, {
      input: "nanoseconds\n",
      variables: { DATA_DIR: dataDir },
    });
    const [superuser = "", KEY = ""] = before.trim().split("\n");

    const { address, output, stop } = await startByNpm(dataDir, auth);
    t.after(stop);
    const stdout = await run(script("with-auth").replaceAll("127.0.0.1:8080", address), 0, {
      variables: { KEY },
    });
    assert.equal(stdout.match(/"username":"alan"/g)?.length, 2, stdout);
    assert.match(stdout, /"procedure":"users.v1.UserService\/RegisterUser"/);
    assert.match(stdout, new RegExp(superuser));
    const get = /^get: +(.*)$/m.exec(output)?.[1] ?? assert.fail("no line to get");
    assert.match(await run(get.replace("ada", "alan"), 0, { variables: { KEY } }), /"username":"alan"/);
  });
});
