import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, test } from "node:test";
import { startApp } from "../src/app.ts";
import { draftEvent } from "../src/events/event.ts";
import { createEventWriter } from "../src/events/event-writer.ts";
import { openDatabase } from "../src/platform/database.ts";
import { createLogger } from "../src/platform/logger.ts";
import { migrate } from "../src/platform/migrator.ts";
import type { Schema } from "../src/schema.ts";
import { createUser } from "../src/users/user.ts";
import { backends } from "./support/databases.ts";
import { connectRaw, envelope } from "./support/raw-http.ts";
import { testConfig } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

const path = "/users.v1.UserService/StreamUserEvents";

describe("a reader that takes no bytes for STREAM_STALL_TIMEOUT", () => {
  test("is ended with ENHANCE_YOUR_CALM over HTTP/2, by closing over HTTP/1.1; one that reads is not", async (t) => {
    const [embedded] = backends;
    assert.ok(embedded);
    const database = await embedded.create();
    const config = testConfig({ database: database.config, streamStallTimeoutMs: 300 });
    const logger = createLogger(config);
    // More than the kernel buffers of a connection hold (HTTP/1.1 knows no smaller window): some 12 MB.
    const filled = await openDatabase<Schema>(config.database, logger);
    await migrate(filled.queries, logger);
    const user = createUser({ email: "busy@example.com", username: "busy" }, new Date());
    const batch = Array.from({ length: 10_000 }, () => draftEvent("user_updated", user, user.createdAt));
    for (let written = 0; written < 40_000; written += batch.length) {
      await createEventWriter(filled.queries).write(async () => ({ result: undefined, events: batch }));
    }
    await filled.close();
    const app = await startApp(config, logger);
    t.after(async () => {
      await app.close();
      await database.drop();
    });

    const session = http2.connect(app.url);
    t.after(() => session.destroy());
    const request = () =>
      session.request({ ":method": "POST", ":path": path, "content-type": "application/connect+json" });
    const reading = request();
    reading.end(envelope('{"start":"EARLIEST"}'));
    let received = 0;
    let wanted = Number.POSITIVE_INFINITY;
    const { promise: readOn, resolve: hasReadOn } = Promise.withResolvers<void>();
    reading.on("data", (bytes: Buffer) => {
      received += bytes.length;
      if (received > wanted) hasReadOn();
    });
    const stalled = request();
    stalled.on("error", () => {});
    stalled.end(envelope('{"start":"EARLIEST"}'));
    const reset = new Promise((resolve) => stalled.on("close", resolve));
    await withDeadline("the reset", reset);
    assert.equal(stalled.rstCode, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);

    const socket = connectRaw(app.url);
    const body = envelope('{"start":"EARLIEST"}');
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+json\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    socket.write(body);
    const closed = once(socket, "close").catch(() => {});
    socket.on("error", () => {});
    await once(socket, "readable");
    // Reading nothing, the client cannot see the end; the server's count of connections can.
    await withDeadline(
      "the server to close the connection",
      new Promise<void>((resolve) => {
        const probe = setInterval(() => {
          socket.write("x", (error) => {
            if (error) {
              clearInterval(probe);
              resolve();
            }
          });
        }, 50);
      }),
    );
    socket.destroy();
    await closed;
    wanted = received;
    await fetch(`${app.url}/users.v1.UserService/RegisterUser`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"email":"late@example.com","username":"late"}',
    });
    await withDeadline("the reader that reads", readOn);
    assert.equal(reading.rstCode, 0);
    reading.destroy();
  });
});
