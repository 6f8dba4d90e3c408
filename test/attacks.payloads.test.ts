import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { type Payload, payloads } from "./support/attack-payloads.ts";
import { useAttackTarget } from "./support/attack-target.ts";
import { readCode } from "./support/fuzz-answer.ts";
import { openFuzzClient } from "./support/fuzz-client.ts";

/** At once, each over HTTP/2. */
const senders = 5;

const codes = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  UNIMPLEMENTED: Code.Unimplemented,
};

describe("a request that takes much more to read than to send is refused, and nobody else notices:", () => {
  const target = useAttackTarget();

  for (const [name, payload] of Object.entries(payloads)) {
    test(name, async () => {
      const answers = await target.survives((url) =>
        Promise.all(Array.from({ length: senders }, () => send(url, payload))),
      );
      for (const answer of answers) {
        assert.equal(readCode(answer), codes[payload.status], JSON.stringify(answer).slice(0, 500));
      }
    });
  }
});

async function send(url: string, { rpc, type, fields = {}, body }: Payload) {
  const client = openFuzzClient(url);
  try {
    return await client.send({
      method: UserService.method.getUser,
      httpVersion: 2,
      verb: "POST",
      path: `/${rpc}`,
      headers: [["content-type", type], ["te", "trailers"], ...Object.entries(fields)],
      body,
      standing: "open",
    });
  } finally {
    await client.close();
  }
}
