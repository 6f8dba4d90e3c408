import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createHttp2Connection, type Http2Connection } from "../../src/client/http2-connection.ts";
import type { KeepAlive } from "../../src/client/keep-alive.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { withDeadline } from "../support/with-deadline.ts";
import { answerEmpty, type Http2Server, startHttp2Server } from "./http2-server.ts";
import { openStallingRelay } from "./stalling-relay.ts";

const longMs = 3_600_000;

function open(t: TestContext, port: number, keepAlive: Partial<KeepAlive>): Http2Connection {
  const connection = createHttp2Connection({
    baseUrl: `http://127.0.0.1:${port}`,
    connectTimeoutMs: 20_000,
    keepAlive: { intervalMs: longMs, timeoutMs: longMs, whileIdle: false, ...keepAlive },
  });
  cleanUpAfter(t, connection.close);
  return connection;
}

async function call(connection: Http2Connection, method = "answered"): Promise<ClientHttp2Stream> {
  const stream = await connection.request("POST", `/${method}`, {}, {});
  stream.on("error", () => {});
  stream.end();
  return stream;
}

async function callAndWait(connection: Http2Connection): Promise<void> {
  const stream = await call(connection);
  stream.resume();
  await once(stream, "close");
}

/** Answers all but the calls that are named so. */
const startServer = (t: TestContext): Promise<Http2Server> =>
  startHttp2Server(t, (received) => {
    if (received.method !== "held") answerEmpty(received);
  });

async function until(what: string, condition: () => boolean): Promise<void> {
  const waiting = async () => {
    while (!condition()) await setImmediate();
  };
  await withDeadline(what, waiting());
}

/** Counts the pings that come over a server's present connections. */
function countPings({ sessions }: Http2Server): () => number {
  let pings = 0;
  for (const session of sessions.keys()) session.on("ping", () => (pings += 1));
  return () => pings;
}

describe("an HTTP/2 connection", () => {
  test("that has gone silent under a call is ended, and the next call gets another", async (t) => {
    const server = await startServer(t);
    const relay = await openStallingRelay(t, server.port);
    const connection = open(t, relay.port, { intervalMs: 20, timeoutMs: 50 });
    const held = await call(connection, "held");
    await until("the call", () => server.calls.length === 1);
    relay.stall();
    await until("the call's end", () => held.closed);
    await until("the connection's end", () => !connection.isConnected);
    await withDeadline("the next call", callAndWait(connection));
  });

  test("that has gone silent while it was idle takes no call with it", async (t) => {
    const server = await startServer(t);
    const relay = await openStallingRelay(t, server.port);
    const connection = open(t, relay.port, { intervalMs: 0, timeoutMs: 50 });
    await callAndWait(connection);
    relay.stall();
    await withDeadline("the calls", Promise.all([1, 2, 3].map(() => callAndWait(connection))));
    assert.equal(server.calls.length, 4);
    assert.equal(new Set(server.calls.map(({ session }) => session)).size, 2);
  });

  test("is asked whether it lives while a call waits, and while it is idle only if that is wanted", async (t) => {
    const intervalMs = 1;
    const [busy, idle, watched] = await Promise.all([startServer(t), startServer(t), startServer(t)]);
    await call(open(t, busy.port, { intervalMs }), "held");
    await callAndWait(open(t, idle.port, { intervalMs }));
    await callAndWait(open(t, watched.port, { intervalMs, whileIdle: true }));
    const [ofBusy, ofIdle, ofWatched] = [countPings(busy), countPings(idle), countPings(watched)];
    await until("pings", () => ofBusy() >= 10 && ofWatched() >= 10);
    assert.equal(ofIdle(), 0);
  });

  test("is asked less often once a server has said that it is asked too often", async (t) => {
    const pings = { patient: 0, impatient: 0 };
    const [patient, impatient] = await Promise.all([startServer(t), startServer(t)]);
    const control = open(t, patient.port, { intervalMs: 1, whileIdle: true });
    const connection = open(t, impatient.port, { intervalMs: 1, whileIdle: true });
    await control.connect();
    await until("the connection", () => patient.sessions.size === 1);
    for (const session of patient.sessions.keys()) session.on("ping", () => (pings.patient += 1));
    const known = new Set();
    while (pings.patient < 200) {
      await connection.connect();
      for (const session of impatient.sessions.keys()) {
        if (known.has(session)) continue;
        known.add(session);
        session.on("ping", () => {
          pings.impatient += 1;
          session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
        });
      }
      await setImmediate();
    }
    assert.ok(pings.impatient > 1 && pings.impatient < pings.patient / 4, JSON.stringify(pings));
  });

  test("is closed after it was idle for too long, and made again for the next call", async (t) => {
    const server = await startServer(t);
    const connection = open(t, server.port, { intervalMs: 1, idleTimeoutMs: 0 });
    await callAndWait(connection);
    await until("the connection's end", () => server.sessions.size === 0 && !connection.isConnected);
    await callAndWait(connection);
    assert.equal(server.calls.length, 2);
  });
});
