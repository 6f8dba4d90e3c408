import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { type Credential, credentialInterceptors } from "../../src/client/credential.ts";
import { CredentialRefusedError, UserEventsRefusedError } from "../../src/client/exports.ts";
import { followUserEvents } from "../../src/client/follow-user-events.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { startFollower } from "./follower.ts";

/**
 * A server in memory that ends every stream after one event, as if its credential had ended, and begins none for a
 * credential that it has seen before.
 */
function openForgetfulServer(credential: Credential, code = Code.Unauthenticated) {
  const shown: (string | null)[] = [];
  const transport = createRouterTransport(
    ({ rpc }) => {
      rpc(UserService.method.streamUserEvents, async function* (_request, { requestHeader }) {
        const authorization = requestHeader.get("authorization");
        const isFresh = !shown.includes(authorization);
        shown.push(authorization);
        if (isFresh)
          yield { type: "user_registered", revision: BigInt(shown.length), cursor: `c${shown.length}` };
        throw new ConnectError("the credential behind this stream has ended", code);
      });
    },
    { transport: { interceptors: credentialInterceptors("http://127.0.0.1", { credential }) } },
  );
  return { client: createUserBridgeClient({ transport }), shown };
}

const quick = { reconnect: { firstMs: 1, longestMs: 1 } };

describe("a follower whose credential ends", () => {
  test("asks for it anew and goes on behind the last event", async (t) => {
    let asked = 0;
    const { client, shown } = openForgetfulServer(() => `token${++asked}`);
    const follower = startFollower(t, client, quick);
    await follower.until("five events", ({ events }) => events.length === 5);
    await follower.stop();
    assert.deepEqual(
      follower.events.slice(0, 5).map(({ revision }) => revision),
      [1n, 2n, 3n, 4n, 5n],
    );
    assert.deepEqual(shown.slice(0, 2), ["Bearer token1", "Bearer token2"]);
  });

  test("asks once, and ends with an error of its own where the credential is no better", async () => {
    const { client, shown } = openForgetfulServer("ubk_revoked");
    const followed = followUserEvents(client, quick);
    assert.equal((await followed.next()).value?.cursor, "c1");
    await assert.rejects(followed.next(), (error) => {
      assert.ok(error instanceof CredentialRefusedError && error instanceof UserEventsRefusedError);
      assert.equal(error.name, "CredentialRefusedError");
      assert.equal(error.code, Code.Unauthenticated);
      assert.doesNotMatch(error.message, /ubk_revoked/);
      return true;
    });
    assert.equal(shown.length, 2);
  });

  test("asks once, too, where no stream had begun", async () => {
    const { client, shown } = openForgetfulServer("ubk_revoked");
    shown.push("Bearer ubk_revoked");
    await assert.rejects(followUserEvents(client, quick).next(), CredentialRefusedError);
    assert.equal(shown.length, 3);
  });

  test("does not ask where a permission is missing", async () => {
    const { client, shown } = openForgetfulServer("ubk_reader", Code.PermissionDenied);
    const followed = followUserEvents(client, quick);
    await followed.next();
    await assert.rejects(followed.next(), (error) => {
      assert.ok(error instanceof UserEventsRefusedError && !(error instanceof CredentialRefusedError));
      assert.equal(error.code, Code.PermissionDenied);
      return true;
    });
    assert.equal(shown.length, 1);
  });
});
