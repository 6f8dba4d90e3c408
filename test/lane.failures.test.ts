import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import type { Compression } from "@connectrpc/connect/protocol";
import { fromBursts } from "../src/lane/bursts.ts";
import { endStream, openFrameConnection } from "./support/http2-frames.ts";
import { scriptedProbe, toStruct } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { envelope } from "./support/raw-http.ts";
import { http1Request, openRawSocket } from "./support/raw-socket.ts";
import { openLane, openTestHost } from "./support/server-pair.ts";
import { withDeadline } from "./support/with-deadline.ts";

const grpcJson = "application/grpc+json";

describe("the fast lane survives", () => {
  test("a compression that fails, and ends each answer all the same", async (t) => {
    const broken: Compression = {
      name: "broken",
      compress: async () => {
        throw new Error("no memory");
      },
      decompress: async () => new Uint8Array(),
    };
    const url = await openLane(t, { routes: probeRoutes(scriptedProbe), acceptCompression: [broken] });
    for (const [path, type, header] of [
      [callPath, "application/json", "accept-encoding"],
      [callPath, grpcJson, "grpc-accept-encoding"],
      [streamPath, grpcJson, "grpc-accept-encoding"],
      [streamPath, "application/connect+json", "connect-accept-encoding"],
    ] as const) {
      for (const script of [
        '{"messages":1,"padding":5000}',
        `{"fail":"connect","text":"${"x".repeat(5_000)}"}`,
      ]) {
        const socket = openRawSocket(t, url);
        const body = type === "application/json" ? script : envelope(script);
        socket.send(http1Request(path, type, body, { more: `${header}: broken\r\nconnection: close\r\n` }));
        await socket.closed();
      }
    }
  });

  test("a client that leaves while its answer is being compressed", async (t) => {
    const compressing = Promise.withResolvers<void>();
    const compressed = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    const slow: Compression = {
      name: "slow",
      compress() {
        compressing.resolve();
        return compressed.promise;
      },
      decompress: async () => new Uint8Array(),
    };
    const url = await openLane(t, { routes: probeRoutes(scriptedProbe), acceptCompression: [slow] });
    const socket = openRawSocket(t, url);
    const connection = openFrameConnection(t, url);
    const script = '{"messages":1,"padding":5000}';
    socket.send(http1Request(callPath, "application/json", script, { more: "accept-encoding: slow\r\n" }));
    [callPath, streamPath].forEach((path, index) => {
      const fields = { ":path": path, "content-type": grpcJson, "grpc-accept-encoding": "slow" };
      connection.headers(2 * index + 1, fields);
      connection.data(2 * index + 1, envelope(script), endStream);
    });
    await withDeadline("the compression", compressing.promise);
    await connection.flushed();
    for (const id of [1, 3]) connection.reset(id, 8);
    await connection.flushed();
    socket.leave();
    compressed.resolve(new Uint8Array(10));
    const next = openRawSocket(t, url);
    next.send(http1Request(callPath, "application/json", '{"padding":3}'));
    await next.received(/"xxx"/);
  });

  test("sources that behave badly when they are left", async (t) => {
    const returns: (() => unknown)[] = [
      () => {
        throw new Error("thrown");
      },
      () => Promise.reject(new Error("rejected")),
      () => ({ done: true, value: undefined }),
      () => undefined,
      () => new Promise(() => {}),
    ];
    for (const leave of returns) {
      for (const isBursting of [true, false]) {
        const left = Promise.withResolvers<void>();
        const source = {
          [Symbol.asyncIterator]: () => {
            let count = 0;
            return {
              next: async () =>
                count++ === 0
                  ? { done: false, value: isBursting ? [toStruct({})] : toStruct({}) }
                  : new Promise(() => {}),
              return: () => {
                left.resolve();
                return leave();
              },
            };
          },
        } as unknown as AsyncIterable<never>;
        const stream = () => (isBursting ? fromBursts<never>(source) : source);
        const socket = openRawSocket(t, await openTestHost(t, probeRoutes({ stream })));
        const more = "grpc-timeout: 30m\r\n";
        socket.send(http1Request(streamPath, grpcJson, envelope("{}"), { more }));
        await socket.received(/grpc-status: 4/);
        await withDeadline("the source to be left", left.promise, 5_000);
      }
    }
  });

  test("a burst of more messages than a call may have arguments", async (t) => {
    const count = 200_000;
    const message = toStruct({});
    const stream = () =>
      fromBursts(
        (async function* () {
          yield Array.from({ length: count }, () => message);
        })(),
      );
    const socket = openRawSocket(t, await openTestHost(t, probeRoutes({ stream })));
    socket.send(http1Request(streamPath, grpcJson, envelope("{}")));
    await socket.received(/grpc-status: 0/);
  });

  test("a handler that goes on after its call has ended", async (t) => {
    const ended = Promise.withResolvers<void>();
    const url = await openTestHost(
      t,
      probeRoutes({
        async call(_request, context) {
          await once(context.signal, "abort");
          context.responseHeader.set("x-late", "1");
          context.responseTrailer.set("x-late", "1");
          setImmediate(ended.resolve);
          throw new Error("late");
        },
        async *stream(_request, context) {
          await once(context.signal, "abort");
          context.responseHeader.set("x-late", "1");
          setImmediate(ended.resolve);
          yield toStruct({});
          throw new Error("late");
        },
      }),
    );
    for (const path of [callPath, streamPath]) {
      const socket = openRawSocket(t, url);
      const more = "grpc-timeout: 30m\r\n";
      socket.send(http1Request(path, grpcJson, envelope("{}"), { more }));
      await socket.received(/grpc-status: 4/);
      await withDeadline("the handler's end", ended.promise);
      socket.send(http1Request(path, grpcJson, envelope("{}"), { more }));
      assert.doesNotMatch(await socket.received(/grpc-status: 4.*grpc-status: 4/s), /x-late/);
    }
  });
});
