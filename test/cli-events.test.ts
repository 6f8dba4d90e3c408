import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { before, describe, type TestContext, test } from "node:test";
import { fromJsonString } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type UserEvent, UserEventSchema, UserService } from "../gen/users/v1/users_pb.ts";
import { encodeCursor } from "../src/events/cursor.ts";
import { removeEventsBefore } from "../src/events/event.repository.ts";
import { openDatabase } from "../src/platform/database.ts";
import { inTransaction } from "../src/platform/transaction.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends, type TestDatabase } from "./support/databases.ts";
import { testLogger } from "./support/event-system.ts";
import {
  runCommand,
  type ServerProcess,
  startCommand,
  startServerProcess,
} from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** A server that can be killed and comes back on the same address with the same database. */
interface Service {
  readonly url: string;
  readonly database: TestDatabase;
  register(name: string): Promise<void>;
  stop(signal: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

async function startService(t: TestContext, backend: Backend): Promise<Service> {
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const address = `127.0.0.1:${await findFreePort()}`;
  const url = `http://${address}`;
  const users = createClient(UserService, createGrpcTransport({ baseUrl: url }));
  let server: ServerProcess | undefined;
  cleanUpAfter(t, () => server?.stop("SIGKILL"));
  async function start(): Promise<void> {
    server = await startServerProcess({ ...database.variables, LISTEN: address });
  }
  await start();
  return {
    url,
    database,
    start,
    register: async (name) => {
      await users.registerUser({ email: `${name}@example.com`, username: name });
    },
    stop: async (signal) => {
      await server?.stop(signal);
    },
  };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  server.close();
  await once(server, "close");
  return address.port;
}

/** `events` with lines that can be waited for. */
function startEvents(t: TestContext, args: readonly string[]) {
  const command = startCommand(["events", ...args], {});
  cleanUpAfter(t, async () => {
    command.child.kill("SIGKILL");
    await command.ended;
  });
  const lines = () => command.stdout().split("\n").slice(0, -1);
  return {
    ...command,
    lines,
    until: (what: string, isSo: () => boolean) =>
      withDeadline(
        `${what}; so far: ${command.stdout()}${command.stderr()}`,
        new Promise<void>((resolve, reject) => {
          const look = () => isSo() && resolve();
          command.child.stdout.on("data", look);
          command.child.stderr.on("data", look);
          void command.ended.then(() => reject(new Error(`it ended: ${command.stderr()}`)));
          look();
        }),
      ),
  };
}

const parse = (line: string): UserEvent => fromJsonString(UserEventSchema, line);
const usernames = (lines: readonly string[]) => lines.map((line) => parse(line).payload?.username);

for (const backend of backends) {
  describe(`events on the ${backend.name} database`, () => {
    test("--follow prints each event once, across a crash of the server and a restart", async (t) => {
      const service = await startService(t, backend);
      const command = startEvents(t, ["--follow", "--json", "--url", service.url]);
      // Without --after it begins when it is there: the first line shows that it is.
      let early = 0;
      while (command.lines().length === 0) {
        await service.register(`early${early++}x`);
      }
      await service.register("before");
      await command.until("the line of before", () => usernames(command.lines()).includes("before"));
      await service.stop("SIGKILL");
      await service.start();
      await service.register("after");
      await command.until("the line of after", () => usernames(command.lines()).includes("after"));
      await service.stop("SIGTERM");
      await service.start();
      await service.register("last");
      await command.until("the line of last", () => usernames(command.lines()).includes("last"));
      command.child.kill("SIGINT");
      assert.deepEqual(await withDeadline("the end", command.ended), { code: 0, signal: null });

      const log = await runCommand(["events", "--json", "--url", service.url], {});
      assert.equal(log.code, 0, log.stderr);
      const whole = log.stdout.split("\n").slice(0, -1);
      assert.deepEqual(command.lines(), whole.slice(whole.indexOf(command.lines()[0] ?? "")));
      assert.equal(whole.length, early + 3);
      assert.match(
        command.stderr(),
        /^(user-bridge: the connection to \S+ was lost \(.*\); trying to resume\nuser-bridge: resumed behind the last event\n){2}$/,
      );
    });

    test("without --follow it prints the log, or what is behind a cursor, and ends", async (t) => {
      const service = await startService(t, backend);
      const { host } = new URL(service.url);
      const empty = await runCommand(["events"], { LISTEN: host });
      assert.deepEqual(empty, { code: 0, signal: null, stdout: "", stderr: "" });
      for (const name of ["ada", "bob", "carl"]) await service.register(name);

      const json = await runCommand(["events", "--json"], { LISTEN: host });
      const lines = json.stdout.split("\n").slice(0, -1);
      assert.deepEqual(usernames(lines), ["ada", "bob", "carl"]);
      const events = lines.map(parse);
      assert.deepEqual(
        events.map((event) => event.revision),
        [1n, 2n, 3n],
      );

      const [first, , third] = events;
      const rest = await runCommand(["events", "--after", first?.cursor ?? "", "--url", service.url], {});
      assert.equal(
        rest.stdout,
        events
          .slice(1)
          .map(
            ({ occurredAt, payload, revision, cursor }) =>
              `${occurredAt}  user_registered   ${payload?.username}  ${payload?.email}  ${payload?.id}  ${revision}  ${cursor}\n`,
          )
          .join(""),
      );
      const none = await runCommand(["events", "--after", third?.cursor ?? "", "--url", service.url], {});
      assert.deepEqual(none, { code: 0, signal: null, stdout: "", stderr: "" });

      const followed = startEvents(t, [
        "--follow",
        "--json",
        "--after",
        first?.cursor ?? "",
        "--url",
        service.url,
      ]);
      await followed.until("two events", () => followed.lines().length === 2);
      assert.deepEqual(followed.lines(), lines.slice(1));
    });

    test("a cursor that leads nowhere is final", async (t) => {
      const service = await startService(t, backend);
      for (const name of ["ada", "bob", "carl"]) await service.register(name);
      const { stdout } = await runCommand(["events", "--json", "--url", service.url], {});
      const [first, second] = stdout.split("\n").slice(0, 2).map(parse);
      const foreign = encodeCursor({ databaseId: randomUUID(), revision: 1n });
      for (const [args, message] of [
        [["--after", "nonsense"], /not a cursor of this service/],
        [["--after", foreign, "--follow"], /belongs to another database/],
      ] as const) {
        const refused = await runCommand(["events", ...args, "--url", service.url], {});
        assert.equal(refused.code, 1);
        assert.match(refused.stderr, message);
        assert.equal(refused.stdout, "");
      }

      await service.stop("SIGTERM");
      await removeOldest(service.database, 2);
      await service.start();
      const compacted = await runCommand(
        ["events", "--after", first?.cursor ?? "", "--url", service.url],
        {},
      );
      assert.equal(compacted.code, 1);
      assert.match(
        compacted.stderr,
        new RegExp(`older than the retained.*earliest_cursor is ${second?.cursor}\n`),
      );
    });

    test("a reader that closes the pipe ends it quietly", async (t) => {
      const service = await startService(t, backend);
      await service.register("ada");
      const { stdout } = await runCommand(["events", "--json", "--url", service.url], {});
      await service.register("bob");
      const after = parse(stdout).cursor;
      const command = startEvents(t, ["--follow", "--after", after, "--url", service.url]);
      await command.until("the line of bob", () => command.lines().length === 1);
      command.child.stdout.destroy();
      // The first write to a pipe without a reader fails, and then nothing more is printed.
      await service.register("carl");
      assert.deepEqual(await withDeadline("the end", command.ended), { code: 0, signal: null });
      assert.equal(command.stderr(), "");
    });
  });
}

/** Lets retention remove the log's oldest events. */
async function removeOldest({ config }: TestDatabase, count: number): Promise<void> {
  const database = await openDatabase<Schema>(config, testLogger);
  try {
    const future = new Date(Date.now() + 86_400_000);
    await inTransaction(database.queries, (transaction) => removeEventsBefore(transaction, future, count));
  } finally {
    await database.close();
  }
}

describe("events without a server", () => {
  let url = "";
  before(async () => {
    url = `http://127.0.0.1:${await findFreePort()}`;
  });

  for (const args of [[], ["--follow"]]) {
    test(`is an error that names the URL and what to do (${args.join("") || "without --follow"})`, async () => {
      const refused = await runCommand(["events", ...args, "--url", url], {});
      assert.equal(refused.code, 1);
      assert.match(
        refused.stderr,
        new RegExp(`^user-bridge: no server answers at ${url} .*user-bridge serve.*\n$`),
      );
    });
  }
});
