import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { startApp } from "../src/app.ts";
import { bearer, withFields } from "./support/callers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createSuperuser, logIn, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { createLogLines } from "./support/log-lines.ts";
import { scriptedProbe } from "./support/probe-script.ts";
import { callPath, probeRoutes, streamPath } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { openRawClient, type RawAnswer, type RawCall } from "./support/raw-call.ts";
import { envelope } from "./support/raw-http.ts";
import { openRawSocket } from "./support/raw-socket.ts";
import { openTestHost } from "./support/server-pair.ts";
import { testConfig } from "./support/test-app.ts";

type Fields = RawCall["headers"];

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const evil: Fields = [["origin", "https://evil.example"]];

const { maxEventLoopDelayMs: _, ...limits } = testConfig({}).limits;
/** Every call is logged, and none is refused since the machine is busy. */
const unhurried = { limits, callLog: { calls: "all", maxLinesPerSecond: 100_000 } } as const;

/** Something to ask for, whoever answers it. */
function requests(): (Pick<RawCall, "method" | "path" | "headers" | "body"> & { readonly name: string })[] {
  const types = [
    ["application/json", callPath, false],
    ["application/connect+json", streamPath, true],
    ...["application/grpc+json", "application/grpc-web+json"].flatMap((type) => [
      [type, callPath, true] as const,
      [type, streamPath, true] as const,
    ]),
  ] as const;
  const scripts = [{ messages: 1 }, { fail: "domain" }, { fail: "error" }, { messages: 2, fail: "connect" }];
  const post = (path: string, type: string, body: Uint8Array, more: Fields = []) => ({
    method: "POST",
    path,
    headers: [["content-type", type] as const, ...more],
    body,
  });
  return [
    ...types.flatMap(([type, path, isEnveloped]) => {
      const bodies = scripts.map((script) => JSON.stringify(script));
      const wrap = (text: string) => (isEnveloped ? envelope(text) : Buffer.from(text));
      return [
        ...bodies.map((text) => ({ name: `${type} ${path} ${text}`, ...post(path, type, wrap(text)) })),
        { name: `${type} ${path} undecodable`, ...post(path, type, wrap("{")) },
        { name: `${type} ${path} of a page`, ...post(path, type, wrap("{}"), evil) },
        { name: `${type}, an unknown RPC`, ...post("/test.v1.ProbeService/Nothing", type, wrap("{}")) },
        {
          name: `${type}, no timeout`,
          ...post(path, type, wrap("{}"), [
            ["grpc-timeout", "?"],
            ["connect-timeout-ms", "?"],
          ]),
        },
      ];
    }),
    {
      name: "a Connect GET",
      method: "GET",
      path: `${callPath}?encoding=json&message=%7B%7D`,
      headers: [],
      body: undefined,
    },
    {
      name: "a malformed Connect GET",
      method: "GET",
      path: `${callPath}?encoding=json&base64=1&message=!`,
      headers: [],
      body: undefined,
    },
    { name: "another content type", ...post(callPath, "text/plain", Buffer.from("{}")) },
    { name: "another method", method: "PUT", path: callPath, headers: [], body: undefined },
    {
      name: "a preflight",
      method: "OPTIONS",
      path: callPath,
      headers: [
        ["origin", "http://localhost"],
        ["access-control-request-method", "POST"],
      ],
      body: undefined,
    },
    ...["/healthz", "/readyz", "/nothing", "/%zz"].map((path) => ({
      name: path,
      method: "GET",
      path,
      headers: [],
      body: undefined,
    })),
  ];
}

/** The ids that an answer has, wherever it has them. */
function idsOf({ headers, trailers, body }: RawAnswer): string[] {
  const lines = [...headers, ...trailers, ...body.toString("latin1").split(/\r?\n/)];
  return lines.flatMap((line) => /^x-request-id: (.*)$/.exec(line)?.[1] ?? []);
}

describe("a request's id", () => {
  for (const lane of ["on", "off"] as const) {
    for (const httpVersion of [1, 2] as const) {
      test(`is on every answer once, whoever answers, over HTTP/${httpVersion} (lane ${lane})`, async (t) => {
        const url = await openTestHost(t, probeRoutes(scriptedProbe), { lane });
        const client = openRawClient(url);
        cleanUpAfter(t, client.close);
        for (const { name, ...request } of requests()) {
          const given = `${name.length}-of:the"caller`;
          const headers: Fields = [...request.headers, ["x-request-id", given]];
          const answer = await client.send({ ...request, headers, httpVersion });
          assert.deepEqual(idsOf(answer), [given], `${name}: ${answer.body}`);
          const [made, ...more] = idsOf(await client.send({ ...request, httpVersion }));
          assert.match(made ?? "", uuid, name);
          assert.deepEqual(more, [], name);
        }
      });

      test(`is made where the caller's cannot be written to a log, over HTTP/${httpVersion} (lane ${lane})`, async (t) => {
        const client = openRawClient(await openTestHost(t, probeRoutes(scriptedProbe), { lane }));
        cleanUpAfter(t, client.close);
        const body = Buffer.from("{}");
        const send = async (...ids: string[]) => {
          const fields = ids.map((id): [string, string] => ["x-request-id", id]);
          const headers: Fields = [["content-type", "application/json"], ...fields];
          return client.send({ method: "POST", path: callPath, headers, body, httpVersion });
        };
        for (const ids of [
          ["a b"],
          ["ü"],
          ["x".repeat(129)],
          ["eyJhbGciOiJIUzI1NiJ9.e30.x"],
          ["ubk_1"],
          ["a", "b"],
        ]) {
          const answer = await send(...ids);
          const [made = "", ...more] = idsOf(answer);
          assert.match(made, uuid, ids.join());
          assert.deepEqual(more, []);
          // The handler sees the same.
          assert.match(answer.body.toString(), new RegExp(`"x-request-id":"${made}"`));
        }
        assert.deepEqual(idsOf(await send("x".repeat(128))), ["x".repeat(128)]);
      });
    }

    test(`is on what is no request for HTTP/1.1 (lane ${lane})`, async (t) => {
      const url = await openTestHost(t, probeRoutes(scriptedProbe), { lane });
      for (const [status, request] of [
        [400, "GET / HTTP/1.0\r\nx-request-id: mine\r\n\r\n"],
        [400, "GET / HTTP/1.1\r\nhost: a b\r\nx-request-id: mine\r\nconnection: close\r\n\r\n"],
        [417, "GET / HTTP/1.1\r\nhost: a\r\nexpect: more\r\nx-request-id: mine\r\nconnection: close\r\n\r\n"],
      ] as const) {
        const socket = openRawSocket(t, url);
        socket.send(request);
        const answer = await socket.closed();
        assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
        assert.equal(answer.match(/^x-request-id: mine\r$/gm)?.length, 1, answer);
      }
      for (const [status, request] of [
        [400, "nonsense\r\n\r\n"],
        [431, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"x".repeat(100_000)}\r\n\r\n`],
      ] as const) {
        const socket = openRawSocket(t, url);
        socket.send(request);
        const answer = await socket.received(/\r\n\r\n/);
        assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
        assert.match(answer, /^x-request-id: [0-9a-f-]{36}\r$/m);
      }
    });
  }

  test("may be sent and read by pages, beside an API key", async (t) => {
    const url = await openTestHost(t, probeRoutes(scriptedProbe));
    const origin = "http://localhost:3000";
    const preflight = await fetch(url + callPath, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    const allowed = preflight.headers.get("access-control-allow-headers")?.toLowerCase().split(/, */) ?? [];
    for (const name of ["x-request-id", "x-api-key"]) assert.ok(allowed.includes(name), name);
    for (const path of [callPath, "/readyz"]) {
      const method = path === callPath ? "POST" : "GET";
      const headers = { origin, ...(method === "POST" && { "content-type": "application/json" }) };
      const answer = await fetch(url + path, { method, headers, ...(method === "POST" && { body: "{}" }) });
      assert.match(
        answer.headers.get("access-control-expose-headers")?.toLowerCase() ?? "",
        /x-request-id/,
        path,
      );
    }
  });

  for (const backend of backends) {
    for (const lane of ["on", "off"] as const) {
      test(`is the same in the answer, the error, the log and the audit log (${backend.name}, lane ${lane})`, async (t) => {
        const created = await backend.create();
        cleanUpAfter(t, created.drop);
        const superuser = await onDatabase(created.config, createSuperuser);
        const { logger, until } = createLogLines();
        const app = await startApp(
          testConfig({ database: created.config, auth: "on", lane, ...unhurried }),
          logger,
        );
        cleanUpAfter(t, app.close);
        const fields = bearer(await logIn(app.url, superuser));
        const plain = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
        const audit = createClient(AuditService, withFields(plain, fields));
        for (const { name, createTransport } of protocols) {
          const transport = createTransport(app.url);
          const users = createClient(UserService, transport);
          const refused = await expectError(users.listUsers({}), { code: Code.Unauthenticated });
          const made = refused.metadata.get("x-request-id") ?? "";
          assert.match(made, uuid, name);
          const line = await until(`a line of ${made}`, ({ requestId }) => requestId === made);
          assert.deepEqual([line.msg, line["code"]], ["call", "UNAUTHENTICATED"]);

          const given = randomUUID();
          const registering = createClient(
            UserService,
            withFields(transport, { ...fields, "x-request-id": given }),
          );
          const username = `u${given.slice(0, 8)}`;
          const answered: (string | null)[] = [];
          await registering.registerUser(
            { email: `${username}@example.com`, username },
            { onHeader: (header) => void answered.push(header.get("x-request-id")) },
          );
          assert.deepEqual(answered, [given], name);
          assert.equal(
            (await until(`a line of ${given}`, ({ requestId }) => requestId === given))["code"],
            "ok",
          );
          const { entries } = await audit.listAuditEntries({ pageSize: 10 });
          assert.ok(
            entries.some((entry) => entry.requestId === given),
            name,
          );
        }
      });
    }
  }
});
