import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { createAccessTokens } from "../src/auth/access-token.ts";
import { fromBursts, readBursts } from "../src/lane/bursts.ts";
import type { AccessRule } from "../src/platform/policy.ts";
import { createStreamGuard } from "../src/server/interceptors/stream-access.ts";
import { anyKey } from "./support/api-key-system.ts";
import { bearer, type HeaderFields, withFields } from "./support/callers.ts";
import { backends } from "./support/databases.ts";
import { type DoorSystem, openDoorSystem, openGuardedHost } from "./support/door-system.ts";
import { protocols } from "./support/protocols.ts";
import { useDatabase } from "./support/shared-database.ts";
import { listen, type Talker, talkRoutes } from "./support/talk-service.ts";
import { createTestAccount, tokenSettings } from "./support/token-system.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** A second, and what a busy machine adds. */
const soonMs = 1_500;

const needsEvents: AccessRule = { kind: "permission", permission: "events:read" };
const known: AccessRule = { kind: "authenticated" };
const policy = {
  "test.v1.TalkService/Listen": needsEvents,
  "test.v1.TalkService/Tell": needsEvents,
  "test.v1.TalkService/Talk": known,
};
const eventKey = { ...anyKey, scopes: ["events:read"] };

type Kind = "listen" | "tell" | "talk";

/** A service that never answers. */
class Silence implements Talker {
  started = 0;
  ended = 0;

  async *listen(_request: unknown, { signal }: { signal: AbortSignal }) {
    await this.#wait(signal);
    yield { value: "the end" };
  }

  async tell(requests: AsyncIterable<unknown>, { signal }: { signal: AbortSignal }) {
    void drain(requests);
    await this.#wait(signal);
    return { value: "the end" };
  }

  async *talk(requests: AsyncIterable<unknown>, { signal }: { signal: AbortSignal }) {
    void drain(requests);
    await this.#wait(signal);
    yield { value: "the end" };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    this.started += 1;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    this.ended += 1;
  }
}

/** A service that says something all the time. */
const chatter: Talker = {
  async *listen(_request, { signal }) {
    while (!signal.aborted) {
      yield { value: "and" };
      await delay(20);
    }
  },
  tell: async () => ({}),
  async *talk() {},
};

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _ of items);
  } catch {}
}

/** A stream that a client has opened. */
interface Opened {
  readonly name: string;
  /** How it ended, and when (of `performance.now()`). */
  readonly end: Promise<{ error: unknown; atMs: number; messages: number }>;
}

function open(name: string, kind: Kind, transport: Transport, fields: HeaderFields): Opened {
  const client = {
    listen: createClient(listen.parent, withFields(transport, fields)),
  }.listen as unknown as Record<Kind, (input: unknown) => AsyncIterable<unknown> & Promise<unknown>>;
  const over = new AbortController();
  async function* input() {
    yield { value: "hello" };
    await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
  }
  let messages = 0;
  async function read(): Promise<void> {
    if (kind === "tell") return void (await client.tell(input()));
    for await (const _ of client[kind](kind === "listen" ? {} : input())) messages += 1;
  }
  const end = read()
    .then(
      () => undefined,
      (error: unknown) => error,
    )
    .then((error) => {
      over.abort();
      return { error, atMs: performance.now(), messages };
    });
  return { name, end };
}

async function expectEnd({ name, end }: Opened, code: Code, reason: string): Promise<number> {
  const { error, atMs } = await withDeadline(`the end of ${name}`, end, 10_000);
  assert.ok(error instanceof ConnectError, `${name} ended with ${String(error)}`);
  assert.equal(Code[error.code], Code[code], `${name}: ${error.message}`);
  assert.equal(error.findDetails(ErrorInfoSchema)[0]?.reason, reason, name);
  return atMs;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const givesUpAt = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < givesUpAt, `waited in vain for ${what}`);
    await delay(5);
  }
}

for (const backend of backends) {
  describe(`streams on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    for (const lane of ["on", "off"] as const) {
      describe(`lane ${lane}`, () => {
        async function start(t: TestContext, talker: Talker, rules: Record<string, AccessRule> = policy) {
          const system = await openDoorSystem(t, await shared.renew());
          const url = await openGuardedHost(t, talkRoutes(talker), system.guard(rules), { lane });
          return { system, url, transport: createGrpcTransport({ baseUrl: url }) };
        }

        test("end soon after their key, whichever protocol they speak, though nothing moves", async (t) => {
          const silence = new Silence();
          const { system, url } = await start(t, silence);
          const { key, secret } = await system.apiKeys.keys.create(eventKey);
          const other = await system.apiKeys.keys.create(eventKey);
          const streams = protocols
            .filter(({ name }) => !name.includes("GET"))
            .flatMap(({ name, createTransport }) => {
              const kinds: Kind[] = name.includes("HTTP/2") ? ["listen", "tell", "talk"] : ["listen"];
              return kinds.map((kind) =>
                open(`${kind} by ${name}`, kind, createTransport(url), bearer(secret)),
              );
            });
          const others = open(
            "another's",
            "listen",
            createGrpcTransport({ baseUrl: url }),
            bearer(other.secret),
          );
          await until("the streams", () => silence.started === streams.length + 1);

          const revokedAt = performance.now();
          await system.apiKeys.keys.revoke(key.id);
          for (const stream of streams) {
            const atMs = await expectEnd(stream, Code.Unauthenticated, "CREDENTIAL_ENDED");
            assert.ok(atMs - revokedAt < soonMs, `${stream.name} ended ${atMs - revokedAt} ms later`);
          }
          await until("the handlers' ends", () => silence.ended === streams.length);
          await system.apiKeys.keys.revoke(other.key.id);
          await expectEnd(others, Code.Unauthenticated, "CREDENTIAL_ENDED");
        });

        test("end soon after their key, though messages come all the time", async (t) => {
          const { system, transport } = await start(t, chatter);
          const { key, secret } = await system.apiKeys.keys.create(eventKey);
          const stream = open("chatter", "listen", transport, bearer(secret));
          await delay(600);
          const revokedAt = performance.now();
          await system.apiKeys.keys.revoke(key.id);
          const atMs = await expectEnd(stream, Code.Unauthenticated, "CREDENTIAL_ENDED");
          assert.ok(atMs - revokedAt < soonMs);
          assert.ok((await stream.end).messages > 10);
        });

        test("end when a key or a token expires", async (t) => {
          const silence = new Silence();
          const clock = { key: Date.now() + 1_200, token: 0 };
          const { system, transport } = await start(t, silence);
          const { secret } = await system.apiKeys.keys.create({ ...eventKey, timeToLiveMs: 1_200 });
          const account = await createTestAccount(system.accounts);
          await permit(system, account.id);
          const expiring = createAccessTokens(system.ring, { ...tokenSettings, accessTtlMs: 2_000 });
          const token = await expiring.issue(account);
          clock.token = (JSON.parse(atob(token.split(".")[1] ?? "")) as { exp: number }).exp * 1_000;
          const [byKey, byToken] = [
            open("a key's", "listen", transport, bearer(secret)),
            open("a token's", "talk", transport, bearer(token)),
          ];
          await until("the streams", () => silence.started === 2);
          for (const [stream, expiresAt] of [
            [byKey, clock.key],
            [byToken, clock.token],
          ] as const) {
            await expectEnd(stream, Code.Unauthenticated, "CREDENTIAL_ENDED");
            const late = Date.now() - expiresAt;
            assert.ok(late >= 0 && late < soonMs, `${stream.name} ended ${late} ms after it`);
          }
        });

        test("end with their tokens, and with PERMISSION_DENIED when only the permission goes", async (t) => {
          const silence = new Silence();
          const { system, transport } = await start(t, silence);
          const endings: [string, (id: string) => Promise<unknown>, Code, string][] = [
            [
              "password",
              (id) => system.accounts.update(id, { passwordHash: "another" }),
              Code.Unauthenticated,
              "CREDENTIAL_ENDED",
            ],
            [
              "deactivation",
              (id) => system.accounts.update(id, { isActive: false }),
              Code.Unauthenticated,
              "CREDENTIAL_ENDED",
            ],
            ["deletion", (id) => system.accounts.delete(id), Code.Unauthenticated, "CREDENTIAL_ENDED"],
            [
              "role",
              (id) => system.roles.unassign(id, `of-${id}`),
              Code.PermissionDenied,
              "PERMISSION_MISSING",
            ],
            [
              "grant",
              (id) => system.roles.revokePermission(`of-${id}`, "events:read"),
              Code.PermissionDenied,
              "PERMISSION_MISSING",
            ],
            [
              "role's end",
              (id) => system.roles.delete(`of-${id}`),
              Code.PermissionDenied,
              "PERMISSION_MISSING",
            ],
          ];
          const streams = [];
          for (const [name, end, code, reason] of endings) {
            const account = await createTestAccount(system.accounts);
            await permit(system, account.id);
            const token = await system.accessTokens.issue(account);
            const watched = open(name, "listen", transport, bearer(token));
            const unruled = open(`${name}, no permission needed`, "talk", transport, bearer(token));
            streams.push({ end: () => end(account.id), watched, unruled, code, reason });
          }
          await until("the streams", () => silence.started === 2 * endings.length);
          for (const { end, watched, unruled, code, reason } of streams) {
            const endedAt = performance.now();
            await end();
            const atMs = await expectEnd(watched, code, reason);
            assert.ok(atMs - endedAt < soonMs, `${watched.name} ended ${atMs - endedAt} ms later`);
            if (code === Code.Unauthenticated) await expectEnd(unruled, code, reason);
          }
        });

        test("of one credential cost one question at a time, and nothing when they have ended", async (t) => {
          const silence = new Silence();
          const { system, url } = await start(t, silence);
          const { key, secret } = await system.apiKeys.keys.create(eventKey);
          const transports = [0, 1].map(() => createGrpcTransport({ baseUrl: url }));
          const streams = Array.from({ length: 60 }, (_, index) =>
            open("one of many", "listen", transports[index % 2] as Transport, bearer(secret)),
          );
          await until("the streams", () => silence.started === streams.length);
          const before = system.questions();
          await delay(1_000);
          const asked = system.questions() - before;
          assert.ok(asked >= 1 && asked < streams.length, `asked ${asked} times in a second`);
          await system.apiKeys.keys.revoke(key.id);
          for (const stream of streams) await expectEnd(stream, Code.Unauthenticated, "CREDENTIAL_ENDED");
          await until("the handlers' ends", () => silence.ended === streams.length);
          const after = system.questions();
          await delay(600);
          assert.equal(system.questions(), after);
        });

        test("that their clients have left cost nothing", async (t) => {
          const silence = new Silence();
          const { system, url } = await start(t, silence);
          const { secret } = await system.apiKeys.keys.create(eventKey);
          for (const kind of ["listen", "talk"] as const) {
            const started = silence.started;
            const leaving = new AbortController();
            const client = createClient(
              listen.parent,
              withFields(createGrpcTransport({ baseUrl: url }), bearer(secret)),
            ) as unknown as Record<
              Kind,
              (input: unknown, options: { signal: AbortSignal }) => AsyncIterable<unknown>
            >;
            const input = kind === "listen" ? {} : (async function* () {})();
            const reading = drain(client[kind](input, { signal: leaving.signal }));
            await until("the stream", () => silence.started === started + 1);
            leaving.abort();
            await reading;
            await until("the handler's end", () => silence.ended === silence.started);
          }
          const after = system.questions();
          await delay(600);
          assert.equal(system.questions(), after);
        });

        test("end with UNAVAILABLE while nobody can say that their credential is good", async (t) => {
          const silence = new Silence();
          const { system, transport } = await start(t, silence);
          const { secret } = await system.apiKeys.keys.create(eventKey);
          const stream = open("a stream", "listen", transport, bearer(secret));
          await until("the stream", () => silence.started === 1);
          system.apiKeys.reads.shut("failing");
          system.apiKeys.lookups.shut("failing");
          await expectEnd(stream, Code.Unavailable, "DATABASE_UNAVAILABLE");
        });

        test("about oneself need no permission, about others they do", async (t) => {
          const silence = new Silence();
          const self = ((request: { value: string }) => ({ id: request.value })) as never;
          const { system, transport } = await start(t, silence, {
            "test.v1.TalkService/Listen": { kind: "permission", permission: "events:read", self },
          });
          const account = await createTestAccount(system.accounts);
          const token = await system.accessTokens.issue(account);
          const client = createClient(
            listen.parent,
            withFields(transport, bearer(token)),
          ) as unknown as Record<
            "listen",
            (input: { value: string }, options: { timeoutMs: number }) => AsyncIterable<unknown>
          >;
          const read = async (value: string) => {
            try {
              for await (const _ of client.listen({ value }, { timeoutMs: 700 }));
            } catch (error) {
              return ConnectError.from(error).code;
            }
          };
          assert.equal(await read(account.id), Code.DeadlineExceeded);
          assert.equal(await read(crypto.randomUUID()), Code.PermissionDenied);
          assert.equal(await read(""), Code.PermissionDenied);
          assert.equal(silence.started, 1);
        });

        test("that no rule names are nobody's", async (t) => {
          const silence = new Silence();
          const { system, transport } = await start(t, silence, {});
          const account = await createTestAccount(system.accounts);
          await system.accounts.update(account.id, { isSuperuser: true });
          const token = await system.accessTokens.issue(account);
          for (const kind of ["listen", "tell", "talk"] as const) {
            await expectEnd(
              open(kind, kind, transport, bearer(token)),
              Code.PermissionDenied,
              "PERMISSION_MISSING",
            );
            await expectEnd(open(kind, kind, transport, {}), Code.Unauthenticated, "CREDENTIAL_MISSING");
          }
          assert.equal(silence.started, 0);
        });
      });
    }
  });
}

test("a guarded stream gives the bursts that it was given", async () => {
  const bursts = [[{ value: "a" }, { value: "b" }], [{ value: "c" }]];
  async function* source() {
    yield* bursts;
  }
  const guard = createStreamGuard({ identify: () => undefined });
  const over = new AbortController();
  const stream = guard.watch({ kind: "api_key", text: "any" }, undefined, over.signal);
  const received: unknown[] = [];
  for await (const burst of readBursts(stream.guard(fromBursts(source())))) received.push(burst);
  over.abort();
  assert.equal(received.length, 2);
  for (const [index, burst] of bursts.entries()) assert.equal(received[index], burst);
});

/** Lets a user read events, by a role of the user's own. */
async function permit({ roles }: DoorSystem, userId: string): Promise<void> {
  await roles.create({ name: `of-${userId}`, description: "", permissions: ["events:read"] });
  await roles.assign(userId, `of-${userId}`);
}
