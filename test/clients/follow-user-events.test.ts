import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { createNodeTransport } from "../../src/client/node.ts";
import { createUserBridgeClient, type UserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { backends } from "../support/databases.ts";
import { startFollower } from "./follower.ts";
import { type RestartableServer, startRestartableServer } from "./restartable-server.ts";

async function startServer(t: TestContext): Promise<RestartableServer> {
  const [backend] = backends;
  assert.ok(backend);
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  return startRestartableServer((end) => cleanUpAfter(t, end), database.variables);
}

/** One client of each kind: fetch with both protocols, and native gRPC. */
function createClients(t: TestContext, baseUrl: string): UserBridgeClient[] {
  const transport = createNodeTransport({ baseUrl });
  cleanUpAfter(t, transport.close);
  return [
    createUserBridgeClient({ baseUrl, protocol: "connect" }),
    createUserBridgeClient({ baseUrl, protocol: "grpc-web" }),
    createUserBridgeClient({ transport }),
  ];
}

const register = (client: UserBridgeClient | undefined, username: string) =>
  client?.registerUser({ email: `${username}@example.com`, username });

describe("followUserEvents", () => {
  test("gives each event once across a killed and a stopped server, over every protocol", async (t) => {
    const server = await startServer(t);
    const clients = createClients(t, server.url);
    const followers = clients.map((client) => startFollower(t, client));
    const untilAll = (what: string, condition: Parameters<(typeof followers)[0]["until"]>[1]) =>
      Promise.all(followers.map((follower) => follower.until(what, condition)));
    await untilAll("the streams to begin", ({ statuses }) => statuses.length === 1);

    const expected: string[] = [];
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      for (const when of ["before", "after"]) {
        const usernames = [1, 2, 3].map((number) => `${when}_${signal.toLowerCase()}_${number}`);
        for (const username of usernames) await register(clients[0], username);
        expected.push(...usernames);
        await untilAll("every event so far", ({ events }) => events.length >= expected.length);
        if (when === "before") {
          await server.stop(signal);
          await untilAll("the loss", (seen) => seen.states().at(-1) === "reconnecting");
          await server.start();
          await untilAll("the resumption", (seen) => seen.states().at(-1) === "live");
        }
      }
    }

    for (const follower of followers) {
      await follower.stop();
      assert.deepEqual(follower.usernames(), expected);
      const [begun, ...later] = follower.statuses.filter((status) => status.state === "live");
      assert.equal(begun?.resumedFrom, undefined);
      assert.deepEqual(
        later.map((status) => status.resumedFrom),
        [follower.events[2]?.cursor, follower.events[8]?.cursor],
      );
    }
  });

  test("gives up a stream gone silent, and goes on when the server answers again", async (t) => {
    const server = await startServer(t);
    const clients = createClients(t, server.url);
    const followers = clients.map((client) => startFollower(t, client, { progressIntervalMs: 200 }));
    for (const follower of followers) {
      await follower.until("the stream to begin", ({ statuses }) => statuses.length > 0);
    }
    await register(clients[0], "before");
    server.freeze();
    for (const follower of followers) {
      await follower.until("the loss", (seen) => seen.states().at(-1) === "reconnecting");
    }
    server.thaw();
    await register(clients[0], "after");
    for (const follower of followers) {
      await follower.until("both events", ({ events }) => events.length >= 2);
      await follower.stop();
      assert.deepEqual(follower.usernames(), ["before", "after"]);
      const lost = follower.statuses.find((status) => status.state === "reconnecting");
      assert.match(lost?.error.message ?? "", /silent for 600 ms/);
    }
  });
});
