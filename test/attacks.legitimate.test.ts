import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { describe, type TestContext, test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { useAttackTarget } from "./support/attack-target.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { envelope } from "./support/raw-http.ts";

const path = "/users.v1.UserService/";
const type = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };

describe("a connection that is busy but means well lives on:", () => {
  const target = useAttackTarget();

  test("five thousand small calls, a hundred at once", async (t) => {
    const { users, connections } = openClient(target.url, t);
    let left = 5_000;
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        while (left-- > 0) await assert.rejects(users.getUser({ email: "nobody@example.com" }), /not_found/);
      }),
    );
    assert.equal(connections(), 1);
  });

  // Node's own bounds end a connection here: 1,000 at once, and 33 a second.
  test("an edge whose users leave before they are answered, again and again", async (t) => {
    const session = http2.connect(target.url);
    t.after(() => session.destroy());
    const { users } = openClient(target.url, t);
    for (let left = 0; left < 1_300; left += 2) {
      const streams = [0, 1].map(() => session.request({ ...type, ":path": `${path}GetUser` }));
      for (const stream of streams) {
        stream.on("error", () => {});
        stream.end(envelope(Buffer.from([10, 3, 97, 64, 98])));
      }
      // The next come when others have been served.
      await users.registerUser({ email: `edge${left}@example.com`, username: `edge${left}` });
      for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    assert.equal(session.destroyed || session.closed, false);
  });

  test("a reader of a long stream that asks for each byte anew, and pings as often", async (t) => {
    const session = http2.connect(target.url, { settings: { initialWindowSize: 100 } });
    t.after(() => session.destroy());
    const stream = session.request({
      ...type,
      "content-type": "application/grpc+json",
      ":path": `${path}StreamUserEvents`,
    });
    stream.on("error", () => {});
    stream.end(envelope('{"start":"EARLIEST"}'));
    let received = 0;
    await new Promise<void>((resolve, reject) => {
      stream.on("close", () => reject(new Error(`closed with ${stream.rstCode} after ${received} bytes`)));
      stream.on("data", (bytes: Buffer) => {
        received += bytes.length;
        session.ping(() => {});
        if (received > 200_000) resolve();
      });
    });
    assert.equal(session.closed, false);
  });

  test("an upload of many messages of a byte or two, each in a frame of its own", async (t) => {
    const session = http2.connect(target.url);
    t.after(() => session.destroy());
    const stream = session.request({
      ...type,
      ":path": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    });
    let received = 0;
    const answered = new Promise<void>((resolve) => {
      stream.on("data", (bytes: Buffer) => {
        received += bytes.length;
      });
      stream.on("end", resolve);
    });
    // ServerReflectionRequest{list_services: ""}
    const message = envelope(Buffer.from([58, 0]));
    for (let sent = 0; sent < 2_000; sent++) {
      if (!stream.write(message)) await once(stream, "drain");
    }
    stream.end();
    await answered;
    assert.ok(received > 2_000 * 100, `${received} bytes`);
    assert.equal(session.closed, false);
  });
});

function openClient(url: string, t: TestContext) {
  let connections = 0;
  const sessionManager = new Http2SessionManager(url, undefined, {
    createConnection(authority) {
      connections++;
      return net.connect(Number(authority.port), authority.hostname);
    },
  });
  cleanUpAfter(t, () => sessionManager.abort());
  return {
    users: createClient(UserService, createGrpcTransport({ baseUrl: url, sessionManager })),
    connections: () => connections,
  };
}
