import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { openDatabase } from "../src/platform/database.ts";
import type { Schema } from "../src/schema.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends, type TestDatabase } from "./support/databases.ts";
import { openProcess, openTestDatabase, testLogger } from "./support/event-system.ts";
import { expectError } from "./support/expect-error.ts";
import { countAdded, countKept, usersAt, withKey } from "./support/keyed-calls.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { serveLog } from "./support/serve-log.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** TEST_SCALE=10 crashes ten times as often. */
const rounds = 4 * Number(process.env["TEST_SCALE"] ?? 1);

type Users = ReturnType<typeof usersAt>;

function person(name: string) {
  return { email: `${name}@example.com`, username: name };
}

/** A relay that can let what a server answers get lost. */
async function openLossyRelay(t: TestContext, targetUrl: string) {
  const target = new URL(targetUrl);
  let isLosing = false;
  let askedFor = "";
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(target.port), target.hostname);
    client.on("data", (bytes: Buffer) => {
      if (askedFor !== "" && bytes.includes(askedFor)) isLosing = true;
      upstream.write(bytes);
    });
    upstream.on("data", (bytes: Buffer) => void (isLosing || client.write(bytes)));
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on("error", () => other.destroy());
      socket.on("close", () => other.destroy());
    }
    cleanUpAfter(t, () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUpAfter(t, () => server.close());
  const url = new URL(targetUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    /** From the next request with this text in it on, answers get lost. */
    loseAnswersTo(text: string): void {
      askedFor = text;
    },
  };
}

async function openDirectly(t: TestContext, { config }: TestDatabase) {
  const opened = await openDatabase<Schema>(config, testLogger);
  cleanUpAfter(t, opened.close);
  return opened.queries;
}

for (const backend of backends) {
  describe(`idempotency keys and processes, on the ${backend.name} database`, () => {
    // The embedded database has one process.
    const skip = backend.name === "embedded";

    test("calls that race in two processes are one write, and all get its answer", { skip }, async (t) => {
      const { config, database } = await openTestDatabase(t, backend);
      const clients = [
        usersAt(await serveLog(t, await openProcess(t, config))),
        usersAt(await serveLog(t, await openProcess(t, config))),
      ] as const;
      for (let round = 0; round < 2; round++) {
        const { id } = await clients[0].registerUser(person(`user${round}`));
        const writes: readonly ((users: Users) => Promise<unknown>)[] = [
          (users) => users.registerUser(person(`raced${round}`), withKey(`register${round}`)),
          (users) =>
            users.updateUser({ user: { id, email: `new${round}@example.com` } }, withKey(`update${round}`)),
          (users) => users.deactivateUser({ id }, withKey(`deactivate${round}`)),
          (users) => users.deleteUser({ id }, withKey(`delete${round}`)),
        ];
        for (const write of writes) {
          const added = await countAdded(database, async () => {
            const calls = Array.from({ length: 25 }, () => clients.map((users) => write(users))).flat();
            const answers = await Promise.all(calls);
            for (const answer of answers) assert.deepEqual(answer, answers[0]);
          });
          assert.deepEqual(added, { events: 1, audits: 1, keys: 1 });
        }
      }
    });

    test("different requests that race with one key in two processes: one of them is kept", {
      skip,
    }, async (t) => {
      const { config, database } = await openTestDatabase(t, backend);
      const clients = [
        usersAt(await serveLog(t, await openProcess(t, config))),
        usersAt(await serveLog(t, await openProcess(t, config))),
      ];
      for (let round = 0; round < 5; round++) {
        const added = await countAdded(database, async () => {
          const calls = clients.flatMap((users, place) =>
            Array.from({ length: 10 }, (_, n) =>
              users.registerUser(person(`r${round}p${place}n${n}`), withKey(`key${round}`)),
            ),
          );
          const outcomes = await Promise.allSettled(calls);
          const refused = outcomes.filter((outcome) => outcome.status === "rejected");
          assert.equal(refused.length, calls.length - 1);
          for (const { reason } of refused) {
            await expectError(Promise.reject(reason), {
              code: Code.InvalidArgument,
              reason: "IDEMPOTENCY_KEY_REUSED",
            });
          }
        });
        assert.deepEqual(added, { events: 1, audits: 1, keys: 1 });
      }
    });

    test("a server that dies between its commit and its answer has answered the repetition", {
      skip,
    }, async (t) => {
      const database = await backend.create();
      cleanUpAfter(t, database.drop);
      const relay = await openLossyRelay(t, database.variables["DATABASE_URL"] ?? "");
      const first = await startServerProcess({ ...database.variables, DATABASE_URL: relay.url });
      cleanUpAfter(t, () => first.stop("SIGKILL"));
      const queries = await openDirectly(t, database);
      relay.loseAnswersTo("insert into user_events");
      const lost = usersAt(first.url).registerUser(person("ada"), withKey("k"));
      lost.catch(() => {});
      const committed = async () => {
        for (;;) if ((await countKept(queries)).events === 1) return;
      };
      await withDeadline("the commit", committed());
      await first.stop("SIGKILL");
      await assert.rejects(lost);

      const second = await startServerProcess(database.variables);
      cleanUpAfter(t, () => second.stop("SIGKILL"));
      const answer = await usersAt(second.url).registerUser(person("ada"), withKey("k"));
      const known = await usersAt(second.url).getUser({ username: "ada" });
      assert.equal(answer.id, known.user?.id);
      assert.deepEqual(await countKept(queries), { events: 1, audits: 1, keys: 1 });
    });

    test("calls that are repeated until they are answered happen once, though the server is killed again and again", (t) =>
      withSeed(async (random) => {
        const database = await backend.create();
        cleanUpAfter(t, database.drop);
        const writers = Array.from({ length: 6 }, (_, n) => new Writer(random.fork(), `w${n}`));
        let server: ServerProcess | undefined;
        cleanUpAfter(t, () => server?.stop("SIGKILL"));
        for (let round = 0; round < rounds; round++) {
          server = await startServerProcess(database.variables);
          const users = usersAt(server.url);
          let left = random.integer(20, 200);
          const onAnswered = () => {
            left -= 1;
            if (left === 0) server?.child.kill("SIGKILL");
          };
          await withDeadline(
            "the server's end",
            Promise.all(writers.map((writer) => writer.writeUntilGone(users, onAnswered))),
          );
          await server.stop("SIGKILL");
        }
        server = await startServerProcess(database.variables);
        const users = usersAt(server.url);
        for (const writer of writers) await writer.finish(users);
        assert.equal((await server.stop("SIGTERM")).code, 0);
        const queries = await openDirectly(t, database);
        const rows = await queries
          .selectFrom("user_events")
          .select(["type", "payload"])
          .orderBy("revision")
          .execute();
        for (const { name, done } of writers) {
          const own = rows.filter(({ payload }) => payload.username.startsWith(`${name}n`));
          assert.deepEqual(
            own.map(({ type, payload }) => `${type} ${payload.username}`),
            done,
          );
        }
        const { events, audits, keys } = await countKept(queries);
        assert.deepEqual([audits, keys], [events, events]);
      }));
  });
}

/** Makes one write after the other and repeats each until it is answered. None of them can be refused. */
class Writer {
  readonly name: string;
  /** The events of its writes. */
  readonly done: string[] = [];
  readonly #random: SeededRandom;
  #users: { readonly id: string; readonly username: string; readonly isActive: boolean }[] = [];
  #count = 0;
  #pending: { readonly event: string; readonly send: (users: Users) => Promise<void> } | undefined;

  constructor(random: SeededRandom, name: string) {
    this.#random = random;
    this.name = name;
  }

  async writeUntilGone(users: Users, onAnswered: () => void): Promise<void> {
    for (;;) {
      this.#pending ??= this.#choose();
      try {
        await this.finish(users);
      } catch (error) {
        // Whatever breaks is the connection; what the server refuses has a reason.
        const reasons = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema) : [error];
        assert.deepEqual(reasons, []);
        return;
      }
      onAnswered();
    }
  }

  /** Makes what is under way, where there is something. */
  async finish(users: Users): Promise<void> {
    if (this.#pending === undefined) return;
    await this.#pending.send(users);
    this.done.push(this.#pending.event);
    this.#pending = undefined;
  }

  #choose() {
    const options = withKey(randomUUID());
    const known = this.#random.pickAny(this.#users);
    if (known === undefined || this.#random.oneIn(2)) {
      const username = `${this.name}n${this.#count++}`;
      return {
        event: `user_registered ${username}`,
        send: async (users: Users) => {
          const { id } = await users.registerUser(person(username), options);
          this.#users.push({ id, username, isActive: true });
        },
      };
    }
    const { id, username, isActive } = known;
    const others = this.#users.filter((user) => user !== known);
    if (this.#random.oneIn(3)) {
      return {
        event: `user_deleted ${username}`,
        send: async (users: Users) => {
          await users.deleteUser({ id }, options);
          this.#users = others;
        },
      };
    }
    return {
      event: `${isActive ? "user_deactivated" : "user_activated"} ${username}`,
      send: async (users: Users) => {
        await (isActive ? users.deactivateUser({ id }, options) : users.activateUser({ id }, options));
        this.#users = [...others, { id, username, isActive: !isActive }];
      },
    };
  }
}
