import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { scriptedProbe } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { openRawClient, type RawClient, toComparable } from "./support/raw-call.ts";
import { generatedCalls } from "./support/raw-call-arbitrary.ts";
import { envelope } from "./support/raw-http.ts";
import { openHostPair } from "./support/server-pair.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 1_500 * Number(process.env["TEST_SCALE"] ?? 1);

/** Small, so that messages can be too large. */
const maxMessageBytes = 65_536;

describe("the fast lane", () => {
  const cleanUps: (() => unknown)[] = [];
  let lane: RawClient;
  let reference: RawClient;
  before(async () => {
    const pair = await openHostPair(
      { after: (fn) => void cleanUps.push(fn as () => unknown) },
      (router) => {
        probeRoutes(scriptedProbe)(router);
        router.rpc(UserService.method.getUser, ({ email, username }) => ({
          user: { email, username, isActive: true },
        }));
      },
      {
        maxMessageBytes,
        // Of a page's call, the host that is generated must be one that pages may call.
        corsOrigins: ["http://probe.test", "http://localhost:3000"],
      },
    );
    lane = openRawClient(pair.lane);
    reference = openRawClient(pair.reference);
  });
  after(async () => {
    lane.close();
    reference.close();
    for (const cleanUp of cleanUps) await cleanUp();
  });

  test("answers any request as connect-es does", async () => {
    await fc.assert(
      fc.asyncProperty(generatedCalls, async (call) => {
        const [actual, expected] = await Promise.all([lane.send(call), reference.send(call)]);
        assert.deepEqual(toComparable(actual), toComparable(expected));
      }),
      { numRuns, seed: Number(process.env["TEST_SEED"] ?? 20_261_121) },
    );
  });

  test("reads and validates the product's own messages as connect-es does", async () => {
    const path = "/users.v1.UserService/GetUser";
    const sent: readonly (readonly [type: string, body: Uint8Array | string])[] = [
      ["application/json", '{"email":"ada@example.com"}'],
      ["application/json", '{"email":"ada@example.com","unheardOf":{"a":[1]}}'],
      ["application/json", '{"email":"no address","id":"no id"}'],
      ["application/json", '{"email":5}'],
      ["application/json", '{"user_name":"x"}'],
      ["application/json", "[]"],
      ["application/json", ""],
      ["application/proto", Buffer.from([0x1a, 1, 0x61])],
      ["application/proto", Buffer.from([0x1a, 1, 0x61, 0xf8, 0x3f, 5])],
      ["application/proto", Buffer.from([0x1a, 1, 0xff])],
      ["application/proto", Buffer.from([0x1a, 200])],
      ["application/grpc", envelope(Buffer.from([0x1a, 1, 0x61]))],
      ["application/grpc", envelope("")],
      ["application/grpc-web+json", envelope('{"username":"a"}')],
    ];
    for (const [type, body] of sent) {
      for (const httpVersion of [1, 2] as const) {
        const call = { httpVersion, path, method: "POST", headers: [["content-type", type]] as const };
        const [actual, expected] = await Promise.all(
          [lane, reference].map((client) => client.send({ ...call, body: Buffer.from(body) })),
        );
        assert.ok(actual && expected);
        assert.deepEqual(toComparable(actual), toComparable(expected), `${type} ${body}`);
      }
    }
  });

  test("accepts messages up to the limit and refuses the next byte, as connect-es does", async () => {
    for (const length of [maxMessageBytes, maxMessageBytes + 1]) {
      const message = "{}".padEnd(length, " ");
      for (const [path, type, body] of [
        [callPath, "application/json", message],
        [callPath, "application/grpc+json", envelope(message)],
        [streamPath, "application/connect+json", envelope(message)],
      ] as const) {
        for (const httpVersion of [1, 2] as const) {
          const call = { httpVersion, path, method: "POST", headers: [["content-type", type]] as const };
          const answers = await Promise.all(
            [lane, reference].map(async (client) =>
              toComparable(await client.send({ ...call, body: Buffer.from(body) })),
            ),
          );
          assert.deepEqual(answers[0], answers[1]);
          const isRefused = /resource_exhausted|grpc-status: 8/.test(JSON.stringify(answers[0]));
          assert.equal(isRefused, length > maxMessageBytes, `${type} ${httpVersion} ${length}`);
        }
      }
    }
  });
});
