import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { type FuzzAnswer, readCode } from "./support/fuzz-answer.ts";
import { connectTo, openFuzzClient } from "./support/fuzz-client.ts";
import { callFields, fieldBlock, frame, frameType, preface } from "./support/fuzz-frames.ts";
import { openHealthyClient } from "./support/fuzz-program.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request } from "./support/raw-socket.ts";
import { startServerProcess } from "./support/server-process.ts";
import { useTestApp } from "./support/test-app.ts";

const [embedded] = backends;
assert.ok(embedded);
const database = embedded;

/** What the fuzz run has found, each in its smallest form. */
describe("a process lives on after", () => {
  test("a connection that begins as HTTP/2's preface does and says no more", async (t) => {
    const program = await startProgram(t);
    const socket = connectTo(program.url);
    cleanUpAfter(t, () => socket.destroy());
    socket.write("PR");
    // The answer to a connection that was made later: the first bytes have been read by then.
    for (let check = 0; check < 3; check++) await program.healthy.check();
  });

  test("a request that expects 100-continue and is taken back at once", async (t) => {
    const program = await startProgram(t);
    const fields = fieldBlock([...callFields("/healthz", "text/plain"), ["expect", "100-continue"]]);
    const reset = Buffer.from([0, 0, 0, 8]);
    const socket = connectTo(program.url);
    socket.end(
      Buffer.concat([
        preface,
        frame(frameType.settings, 0, 0, Buffer.alloc(0)),
        frame(frameType.headers, 4, 1, fields),
        frame(frameType.resetStream, 0, 1, reset),
      ]),
    );
    socket.resume();
    await once(socket, "close");
    await program.healthy.check();
  });

  test("a connection that breaks with a request waiting behind a stream", async (t) => {
    const program = await startProgram(t);
    const stream = http1Request("/grpc.health.v1.Health/Watch", "application/connect+json", envelope("{}"));
    const waiting = http1Request("/users.v1.UserService/GetUser", "text/plain", "");
    for (let attempt = 0; attempt < 3; attempt++) {
      const socket = connectTo(program.url);
      socket.write(Buffer.concat([stream, waiting]));
      await once(socket, "data");
      socket.resetAndDestroy();
      await program.healthy.check();
    }
  });
});

interface Form {
  readonly type: string;
  readonly httpVersion: 1 | 2;
}

const types = ["application/grpc", "application/grpc-web", "application/grpc-web-text", "application"];
const forms = types.flatMap((type): Form[] => [
  { type, httpVersion: 1 },
  { type, httpVersion: 2 },
]);

for (const lane of ["on", "off"] as const) {
  describe(`with the lane ${lane}`, () => {
    const app = useTestApp(database, { lane });

    test("half a surrogate pair that an error quotes is the caller's fault", async () => {
      for (const form of forms) {
        const answer = await send(app.url, "users.v1.UserService/ListUsers", form, '{"pageSize":"\\ud800"}');
        assert.equal(readCode(answer), Code.InvalidArgument, JSON.stringify([form, answer]));
      }
    });

    test("a thousand faults in one request fit into an answer", async () => {
      const json = JSON.stringify({ ids: Array(1_000).fill("x".repeat(100)) });
      for (const form of forms) {
        const answer = await send(app.url, "users.v1.UserService/BatchGetUsers", form, json);
        assert.equal(readCode(answer), Code.InvalidArgument, JSON.stringify([form, answer]));
        assert.equal(answer.end, "whole");
      }
    });

    test("an RPC that nobody serves is unimplemented, whatever its request", async () => {
      for (const form of forms) {
        for (const body of ["", "no json", "{}"]) {
          const answer = await send(app.url, "nobody.v1.Service/Call", form, body);
          assert.equal(readCode(answer), Code.Unimplemented, JSON.stringify([form, answer]));
        }
      }
    });
  });
}

async function startProgram(t: TestContext) {
  const created = await database.create();
  cleanUpAfter(t, created.drop);
  const program = await startServerProcess({ ...created.variables, AUTH: "off" });
  cleanUpAfter(t, () => program.stop("SIGKILL"));
  const healthy = openHealthyClient(program.url, undefined);
  cleanUpAfter(t, healthy.close);
  await healthy.check();
  return { url: program.url, healthy };
}

async function send(
  url: string,
  path: string,
  { type, httpVersion }: Form,
  json: string,
): Promise<FuzzAnswer> {
  const isBare = type === "application";
  const bytes = isBare ? Buffer.from(json) : envelope(json);
  const client = openFuzzClient(url);
  try {
    return await client.send({
      // How long is waited for the answer depends on this, and nothing else.
      method: UserService.method.getUser,
      httpVersion,
      verb: "POST",
      path: `/${path}`,
      headers: [["content-type", isBare ? "application/json" : `${type}+json`]],
      body: type.endsWith("-text") ? Buffer.from(bytes.toString("base64")) : bytes,
      standing: "open",
    });
  } finally {
    await client.close();
  }
}
