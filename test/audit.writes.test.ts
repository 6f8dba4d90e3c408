import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { create, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Level } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { decodeJwt } from "jose";
import { type AuditEntry, AuditService } from "../gen/audit/v1/audit_pb.ts";
import { procedureOf } from "../src/platform/policy.ts";
import { policy } from "../src/policy.ts";
import { listServices } from "../src/routes.ts";
import {
  type AuditedApp,
  assertFreeOf,
  readTransactions,
  readValues,
  sabotage,
  startAuditedApp,
} from "./support/audited-app.ts";
import { auditedWrites, type ReadyWrite } from "./support/audited-writes.ts";
import { bearer, type HeaderFields, withFields } from "./support/callers.ts";
import { backends } from "./support/databases.ts";

/** All RPCs of the public listener that may change something. */
const writes: readonly DescMethod[] = listServices(new Set(["users", "auth", "profiles"])).flatMap(
  (service) =>
    service.methods.filter(
      (method) => method.methodKind === "unary" && method.idempotency !== Level.NO_SIDE_EFFECTS,
    ),
);

/** It is marked as IDEMPOTENT for those who use GET, and changes nothing. */
const readers = new Set(["auth.AuthService/ValidateToken"]);

/** Sends a request as it is, so that answers can be compared to the byte. */
async function call(url: string, method: DescMethod, message: Message, fields: HeaderFields) {
  const response = await fetch(`${url}/${procedureOf(method)}`, {
    method: "POST",
    headers: { "content-type": "application/proto", ...fields },
    body: toBinary(method.input, message) as Uint8Array<ArrayBuffer>,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, bytes };
}

/** Whoever makes the calls. */
interface CallerInTest {
  readonly name: string;
  readonly fields: HeaderFields;
  readonly actor: string;
  readonly credential: string | RegExp;
}

function callersOf({ superuser, token, apiKey }: AuditedApp): CallerInTest[] {
  return [
    {
      name: "a user",
      fields: bearer(token),
      actor: `user:${superuser.id}`,
      credential: `token:${decodeJwt(token).jti}`,
    },
    {
      name: "a key",
      fields: { "x-api-key": apiKey.secret },
      actor: `key:${apiKey.id}`,
      credential: /^key:ubk_/,
    },
  ];
}

for (const backend of backends) {
  describe(`the audit of writes on the ${backend.name} database`, () => {
    test("every RPC that writes is called here", () => {
      const known = new Set([...auditedWrites.keys(), ...readers]);
      assert.deepEqual(new Set(writes.map(procedureOf)), known);
    });

    test("each write leaves one entry, in its own transaction; a broken-off one and a repetition leave none", async (t) => {
      const app = await startAuditedApp(t, backend);
      const secrets: string[] = [app.superuser.password, app.token, app.userToken, app.apiKey.secret];
      const answered = new Map<string, DescMethod>();
      for (const caller of callersOf(app)) {
        for (const method of writes.filter((method) => !readers.has(procedureOf(method)))) {
          const requestId = await writeTwice(app, caller, method, secrets);
          answered.set(requestId, method);
        }
      }

      await app.inspect(async (database) => {
        const transactions = await readTransactions(database);
        for (const { tables, request_ids } of transactions) {
          const written = tables.filter((table) => table !== "idempotency_keys");
          // Logging in without an idempotency key, and so on, is in the log as well.
          assert.equal(
            request_ids.length,
            1,
            `a transaction that wrote ${tables} left ${request_ids.length} entries`,
          );
          assert.ok(written.length > 0, `${request_ids} is of a transaction that wrote nothing`);
        }
        for (const [requestId, method] of answered) {
          const own = transactions.filter(({ request_ids }) => request_ids.includes(requestId));
          assert.equal(own.length, 1, procedureOf(method));
          assert.ok(own[0]?.tables.includes("idempotency_keys"), procedureOf(method));
        }
        const values = [
          ...(await readValues(database, "audit_log")),
          ...(await readValues(database, "idempotency_keys")),
        ];
        assert.ok(values.length > 100);
        assertFreeOf(values, secrets);
      });
    });
  });
}

/** Calls an RPC so that it is broken off, then well, then again. @returns the request id of the one that was kept */
async function writeTwice(
  app: AuditedApp,
  caller: CallerInTest,
  method: DescMethod,
  secrets: string[],
): Promise<string> {
  const procedure = procedureOf(method);
  const what = `${procedure} by ${caller.name}`;
  const transport = createConnectTransport({ baseUrl: app.url, httpVersion: "1.1" });
  const theirs = withFields(transport, caller.fields);
  const audit = createClient(AuditService, withFields(transport, bearer(app.token)));
  const prepare = auditedWrites.get(procedure) ?? assert.fail(`no request for ${procedure}`);
  const ready = await prepare(theirs, secrets);
  const idempotencyKey = `key-${randomUUID()}`;
  secrets.push(...(ready.secrets ?? []), idempotencyKey);
  const send = (requestId: string) =>
    call(app.url, method, ready.request as Message, {
      ...caller.fields,
      "idempotency-key": idempotencyKey,
      "x-request-id": requestId,
    });
  const entriesOf = async (requestId: string): Promise<AuditEntry[]> =>
    (await audit.listAuditEntries({ procedure, pageSize: 1_000 })).entries.filter(
      (entry) => entry.requestId === requestId,
    );

  const brokenOff = `${sabotage}${randomUUID()}`;
  const failed = await send(brokenOff);
  assert.equal(failed.status, 500, `${what}: ${failed.bytes}`);
  assert.deepEqual(await entriesOf(brokenOff), [], what);

  const before = Date.now();
  const first = await send(`first-${idempotencyKey.slice(4)}`);
  assert.equal(first.status, 200, `${what}: ${first.bytes}`);
  const [entry, ...more] = await entriesOf(`first-${idempotencyKey.slice(4)}`);
  assert.ok(entry, `${what} left no entry`);
  assert.deepEqual(more, [], what);
  assertEntry(entry, { caller, procedure, ready, before, answer: fromBinary(method.output, first.bytes) });

  const second = await send(`again-${idempotencyKey.slice(4)}`);
  assert.equal(second.status, 200, `${what}, repeated: ${second.bytes}`);
  assert.ok(second.bytes.equals(first.bytes), `${what} is answered otherwise when it is repeated`);
  assert.deepEqual(await entriesOf(`again-${idempotencyKey.slice(4)}`), [], what);
  collectSecrets(create(method.output, fromBinary(method.output, first.bytes)), secrets);
  return entry.requestId;
}

function assertEntry(
  entry: AuditEntry,
  expected: {
    caller: CallerInTest;
    procedure: string;
    ready: ReadyWrite;
    before: number;
    answer: Message;
  },
): void {
  const { caller, procedure, ready, before, answer } = expected;
  const isPublic = policy.get(procedure)?.kind === "public";
  const { actor, subject, outcome, reason, address, calls } = entry;
  assert.deepEqual(
    { actor, subject, outcome, reason, address, calls, procedure: entry.procedure },
    {
      actor: isPublic ? "anonymous" : caller.actor,
      subject: ready.subject ?? ready.subjectField?.(answer as unknown as Record<string, unknown>),
      outcome: "OK",
      reason: "",
      address: "127.0.0.1",
      calls: 1n,
      procedure,
    },
  );
  assert.match(entry.credential, isPublic ? /^$/ : new RegExp(caller.credential));
  const timeMs = Number(entry.occurredAt?.seconds) * 1_000 + (entry.occurredAt?.nanos ?? 0) / 1e6;
  assert.ok(timeMs >= before && timeMs <= Date.now());
}

/** What an answer gives that is nobody else's business. */
function collectSecrets(answer: Message, secrets: string[]): void {
  for (const [field, value] of Object.entries(answer)) {
    if (["accessToken", "refreshToken", "secret"].includes(field)) secrets.push(String(value));
  }
}
