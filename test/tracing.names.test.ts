import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as conventions from "@opentelemetry/semantic-conventions/incubating";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startTracedApp } from "./support/traced-app.ts";

const known = new Set<unknown>(Object.values(conventions));

for (const backend of backends) {
  test(`with the ${backend.name} database, facts have the names of the conventions, or our own`, async (t) => {
    const { url, collector, close } = await startTracedApp((cleanUp) => cleanUpAfter(t, cleanUp), backend);
    for (const transport of [
      createGrpcTransport({ baseUrl: url }),
      createConnectTransport({ baseUrl: url, httpVersion: "2" }),
    ]) {
      const users = createClient(UserService, transport);
      await expectError(users.getUser({ email: "nobody@example.com" }), { code: Code.NotFound });
    }
    await close();
    const names = new Set(
      collector.spans.flatMap(({ attributes, resource }) => Object.keys({ ...attributes, ...resource })),
    );
    assert.ok(names.size > 20, [...names].join(" "));
    const strangers = [...names].filter((name) => !known.has(name) && !name.startsWith("user_bridge."));
    assert.deepEqual(strangers, []);
  });
}
