import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, type TestContext, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanJsonLine } from "../src/platform/log-line.ts";
import { createFormattedLogger } from "../src/platform/logger.ts";
import { prettyLine } from "../src/platform/pretty-line.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { withDeadline } from "./support/with-deadline.ts";

const root = join(import.meta.dirname, "..");
const { PATH = "", HOME = "" } = process.env;

/** Starts the server; nobody reads its standard error. */
async function startUnread(t: TestContext): Promise<{ child: ChildProcess; url: string }> {
  const [embedded] = backends;
  assert.ok(embedded);
  const database = await embedded.create();
  cleanUpAfter(t, database.drop);
  const child = spawn(process.execPath, [join(root, "src/main.ts"), "serve"], {
    env: {
      PATH,
      HOME,
      ...database.variables,
      LISTEN: "127.0.0.1:0",
      INTERNAL_LISTEN: "off",
      LOG_CALLS_PER_SECOND: "100000",
      MAX_EVENT_LOOP_DELAY: "off",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  cleanUpAfter(t, () => {
    child.kill("SIGKILL");
    child.stderr.resume();
    return ended;
  });
  let printed = "";
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    printed += chunk;
    const url = /user-bridge serves at (\S+)\n/.exec(printed)?.[1];
    if (url !== undefined) {
      child.stdout.resume();
      return { child, url };
    }
  }
  assert.fail(`it ended: ${printed}${await text(child.stderr)}`);
}

/** More than a pipe, its reader's buffer and what may wait can hold: the id makes a line half a kilobyte. */
const calls = 5_000;

async function callOften(url: string): Promise<void> {
  const users = createClient(UserService, createGrpcTransport({ baseUrl: url }));
  const id = "i".repeat(120);
  for (let left = calls; left > 0; left -= 100) {
    const batch = Array.from({ length: 100 }, () =>
      // The database is no part of this.
      expectError(users.getUser({ email: "none" }, { headers: { "x-request-id": id } }), {
        code: Code.InvalidArgument,
      }),
    );
    await withDeadline("calls to be answered", Promise.all(batch));
  }
}

describe("a reader of the log that does not read", () => {
  test("stops no calls; what was left out is told when it reads again", async (t) => {
    const { child, url } = await startUnread(t);
    assert.ok(child.stderr);
    await callOften(url);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    let written = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      written += chunk;
    });
    while (!/lines of the log were dropped"}\n/.test(written)) {
      await withDeadline("the log to say that lines were dropped", once(child.stderr, "data"));
    }
    const lines = written
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
    const logged = lines.filter(({ msg }) => msg === "call").length;
    const dropped = lines.reduce((sum, { msg, lines }) => sum + (/dropped/.test(msg) ? lines : 0), 0);
    assert.ok(dropped > 0);
    assert.equal(logged + dropped, calls);
  });

  test("does not keep the process from ending", async (t) => {
    const { child, url } = await startUnread(t);
    await callOften(url);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await withDeadline("the end of the process", exited), [0, null]);
  });

  test("or that has gone away, stops no calls either", async (t) => {
    const { child, url } = await startUnread(t);
    child.stderr?.destroy();
    await callOften(url);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await withDeadline("the end of the process", exited), [0, null]);
  });
});

describe("the end of the process", () => {
  for (const [how, statement] of [
    ["a crash", "throw new Error('crash');"],
    ["process.exit", "process.exit(1);"],
    ["process.abort", "process.abort();"],
  ] as const) {
    test(`loses no line that was logged before: ${how}`, async () => {
      // As many as a socket takes though nobody has read yet: an abort waits for no reader.
      const lines = 50;
      const script = `
        import { createLogger } from ${JSON.stringify(join(root, "src/platform/logger.ts"))};
        const logger = createLogger({ logLevel: "info", logFormat: "json" });
        for (let i = 0; i < ${lines}; i++) logger.info({ i }, "before");
        ${statement}`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
        env: { PATH },
        stdio: ["ignore", "ignore", "pipe"],
      });
      const written = await text(child.stderr);
      assert.equal(written.match(/"msg":"before"/g)?.length, lines, written.slice(-500));
    });
  }

  test("waits for a reader that is slow", async () => {
    const script = `
      import { createLogger } from ${JSON.stringify(join(root, "src/platform/logger.ts"))};
      const logger = createLogger({ logLevel: "info", logFormat: "json" });
      for (let i = 0; i < 1000; i++) logger.info({ i, text: "x".repeat(700) }, "before");
      process.stdout.write("all\\n");
      process.exit(0);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { PATH },
      stdio: ["ignore", "pipe", "pipe"],
    });
    await once(child.stdout, "data");
    const lines = (await text(child.stderr)).trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).i),
      Array.from({ length: 1_000 }, (_, index) => index),
    );
  });
});

/** One logged line in its form for people. */
function pretty(fields: object, msg: string, isColourful = false): string {
  let written = "";
  const logger = createFormattedLogger(
    "trace",
    (line) => prettyLine(line, isColourful),
    (line) => {
      written += line;
    },
  );
  logger.info(fields, msg);
  return written;
}

describe("LOG_FORMAT=pretty", () => {
  test("makes a sentence of a call", () => {
    const call = {
      requestId: "4f1c",
      principal: "user:0192",
      credential: "token:0193",
      address: "192.0.2.1",
      method: "users.v1.UserService/GetUser",
      protocol: "grpc",
      code: "ok",
      durationMs: 1.2,
      requestBytes: 10,
      responseBytes: 200,
    };
    assert.match(
      pretty(call, "call"),
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}users\.v1\.UserService\/GetUser ok 1\.20 ms grpc {2}user:0192 token:0193 from 192\.0\.2\.1 req 4f1c {2}requestBytes=10 responseBytes=200\n$/,
    );
    const failed = {
      ...call,
      code: "NOT_FOUND",
      reason: "USER_NOT_FOUND",
      stream: true,
      credential: undefined,
      address: "",
    };
    assert.match(
      pretty(failed, "call"),
      /GetUser NOT_FOUND USER_NOT_FOUND 1\.20 ms grpc stream {2}user:0192 req 4f1c /,
    );
    assert.ok(pretty(call, "call", true).includes("\u001b[32mok\u001b[39m"));
  });

  test("shows the stack of an error, below its line", () => {
    const lines = pretty(
      { err: new TypeError("broken", { cause: new Error("the cause") }), step: 1 },
      "failed",
    ).split("\n");
    assert.match(lines[0] ?? "", /INFO {2}failed {2}step=1$/);
    assert.match(lines.slice(1).join("\n"), /^ {4}TypeError: broken.*caused by: Error: the cause/s);
    assert.ok(lines.slice(1, -1).every((line) => line.startsWith("    ")));
  });
});

test("nothing that is logged breaks a line or reaches a terminal as more than text, in either format", () => {
  const hostile = fc.string({
    unit: fc.constantFrom(
      "\u001b[2J",
      "\u001b]0;title\u0007",
      "\n",
      "\r",
      "\u009b1A",
      "\u0000",
      "\u2028",
      "\u202e",
      "\b",
      '"',
      "\\",
      "a",
      "\ud800",
    ),
  });
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, value, msg) => {
      for (const format of [cleanJsonLine, (line: string) => prettyLine(line, false)]) {
        let written = "";
        const logger = createFormattedLogger("trace", format, (line) => {
          written += line;
        });
        const fields = { [name]: value, err: new Error(value), deep: { [name]: [value] } };
        for (const logged of [fields, { ...fields, requestId: value, method: value, code: name }])
          logger.info(logged, msg);
        logger.info({ requestId: value, address: value, principal: name, method: value }, "call");
        assert.doesNotMatch(written, /(?!\n)[\p{Cc}\u2028\u2029\u202e]/u);
        // Whatever continues a line is indented.
        const heads = written.split("\n").filter((line) => line !== "" && !line.startsWith("    "));
        assert.equal(heads.length, 3, JSON.stringify(written));
      }
    }),
    { numRuns: 500 },
  );
});
