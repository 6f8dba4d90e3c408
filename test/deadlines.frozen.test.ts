import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { testLogger } from "./support/event-system.ts";
import { startOwnPostgres, whyNoOwnPostgres } from "./support/own-postgres.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const poolSize = 4;

/** Of the server alone: the client itself would wait for ever. */
const soon = { headers: { "grpc-timeout": "300m" } };

describe("a program whose PostgreSQL is frozen", { skip: whyNoOwnPostgres }, () => {
  for (const lane of ["on", "off"] as const) {
    test(`ends calls at their deadlines, and has all of its connections when it goes on, with LANE=${lane}`, async (t) => {
      const postgres = await startOwnPostgres();
      cleanUpAfter(t, postgres.close);
      // What is frozen cannot end.
      cleanUpAfter(t, postgres.thaw);
      const config = testConfig({
        lane,
        auth: "off",
        database: { kind: "postgres", url: postgres.url, poolSize },
      });
      const app = await startApp(config, testLogger);
      cleanUpAfter(t, app.close);
      const users = createClient(UserService, createGrpcTransport({ baseUrl: app.url }));
      const { id } = await users.registerUser({ email: "ada@example.com", username: "ada" });

      const ask = [
        () => users.getUser({ id }, soon),
        () => users.listUsers({}, soon),
        () => users.batchGetUsers({ ids: [id] }, soon),
        () => users.deactivateUser({ id }, soon),
        () => users.registerUser({ email: "eve@example.com", username: "eve" }, soon),
      ];
      const askMany = () => Promise.allSettled([...ask, ...ask, ...ask].map((call) => call()));
      postgres.freeze();
      for (let round = 0; round < 3; round++) {
        const outcomes = await withDeadline("the deadlines", askMany());
        const codes = outcomes.map(
          (outcome) => outcome.status === "rejected" && ConnectError.from(outcome.reason).code,
        );
        assert.deepEqual(new Set(codes), new Set([Code.DeadlineExceeded]));
      }

      postgres.thaw();
      // What was sent before the end may have been done: nobody was told that it was not.
      const answer = async (): Promise<void> => {
        for (;;) {
          const outcomes = await Promise.allSettled(
            Array.from({ length: 3 * poolSize }, () => users.listUsers({})),
          );
          if (outcomes.every(({ status }) => status === "fulfilled")) return;
        }
      };
      await withDeadline("answers again", answer());
      const { users: all } = await users.listUsers({});
      assert.ok(all.some(({ username }) => username === "ada"));
    });
  }
});
