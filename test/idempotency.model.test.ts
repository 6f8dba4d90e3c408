import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type CallOptions,
  type Client,
  ConnectError,
  createClient,
  createRouterTransport,
  type Interceptor,
} from "@connectrpc/connect";
import fc from "fast-check";
import { sql } from "kysely";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { createAccountGuard } from "../src/access/account-guard.ts";
import { createRoleService } from "../src/access/role.service.ts";
import { createUserEventsHandler } from "../src/events/event.handler.ts";
import { CallScope, callScope } from "../src/platform/call-scope.ts";
import { anonymous } from "../src/platform/principal.ts";
import type { Database } from "../src/schema.ts";
import { createErrorInterceptor } from "../src/server/interceptors/errors.ts";
import { createFailureTranslation } from "../src/server/interceptors/failure-translation.ts";
import { createUserHandler } from "../src/users/user.handler.ts";
import { createAnswerWrite } from "../src/writes/answer-write.ts";
import { backends } from "./support/databases.ts";
import { type EventSystem, openLog, testLogger } from "./support/event-system.ts";
import { countKept } from "./support/keyed-calls.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

/** What a caller asks for, with few names, so that most collide. */
type Request =
  | { readonly kind: "register"; readonly email: string; readonly username: string }
  | { readonly kind: "rename"; readonly place: number; readonly email: string }
  | { readonly kind: "activate" | "deactivate" | "delete"; readonly place: number };

type Step =
  | {
      readonly kind: "call";
      readonly actor: string;
      readonly key: string;
      readonly copies: number;
      readonly request: Request;
    }
  /** A day goes by. */
  | { readonly kind: "age" };

const emails = fc.constantFrom("a@example.com", "b@example.com", "c@example.com");
/** Of those that were registered so far; one more than there are is nobody. */
const places = fc.nat(3);

const requests: fc.Arbitrary<Request> = fc.oneof(
  fc.record({
    kind: fc.constant("register" as const),
    email: emails,
    username: fc.constantFrom("ada", "bob", "carl"),
  }),
  fc.record({ kind: fc.constant("rename" as const), place: places, email: emails }),
  fc.record({
    kind: fc.constantFrom("activate" as const, "deactivate" as const, "delete" as const),
    place: places,
  }),
);

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 15,
    arbitrary: fc.record({
      kind: fc.constant("call" as const),
      actor: fc.constantFrom("user:one", "user:two"),
      key: fc.constantFrom("", "k", "l"),
      copies: fc.integer({ min: 1, max: 3 }),
      request: requests,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "age" as const }) },
);

interface ModelUser {
  email: string;
  readonly username: string;
  isActive: boolean;
}

/** What the calls should do: each once, unless it is a repetition. */
class Model {
  /** In the order of their registration; undefined where deleted. */
  readonly users: (ModelUser | undefined)[] = [];
  readonly kept = new Map<string, { readonly request: string; readonly answer: unknown }>();
  events = 0;
  entries = 0;

  /** @returns the reason of a refusal; "again": the first answer; "anew": another */
  call(actor: string, key: string, request: Request): string {
    const kept = key === "" ? undefined : this.kept.get(`${actor} ${key}`);
    if (kept !== undefined) {
      return kept.request === JSON.stringify(request) ? "again" : "IDEMPOTENCY_KEY_REUSED";
    }
    const outcome = this.#carryOut(request);
    if (outcome === "anew") this.entries += 1;
    return outcome;
  }

  keep(actor: string, key: string, request: Request, answer: unknown): void {
    if (key !== "") this.kept.set(`${actor} ${key}`, { request: JSON.stringify(request), answer });
  }

  #carryOut(request: Request): string {
    if (request.kind === "register") {
      const { email, username } = request;
      if (this.users.some((user) => user?.email === email)) return "EMAIL_TAKEN";
      if (this.users.some((user) => user?.username === username)) return "USERNAME_TAKEN";
      this.users.push({ email, username, isActive: true });
      this.events += 1;
      return "anew";
    }
    const user = this.users[request.place];
    if (user === undefined) return "USER_NOT_FOUND";
    return this.#change(user, request);
  }

  #change(user: ModelUser, request: Exclude<Request, { kind: "register" }>): string {
    const before = JSON.stringify(user);
    if (request.kind === "delete") {
      this.users[request.place] = undefined;
      this.events += 1;
      return "anew";
    }
    if (request.kind === "rename") {
      if (this.users.some((other) => other !== user && other?.email === request.email)) return "EMAIL_TAKEN";
      user.email = request.email;
    } else {
      user.isActive = request.kind === "activate";
    }
    if (JSON.stringify(user) !== before) this.events += 1;
    return "anew";
  }
}

/** The client of a service whose callers say themselves who they are. */
function connect({ database, users, log }: EventSystem): Client<typeof UserService> {
  const identify: Interceptor = (next) => (request) => {
    const requestHeaders = Object.fromEntries(request.header);
    const origin = { requestHeaders, rawHeaders: [], remoteAddress: undefined, clientCertificate: undefined };
    const scope = new CallScope(origin, () => "192.0.2.1");
    scope.principal = { ...anonymous, kind: "user", actor: request.header.get("x-actor") ?? "" };
    request.contextValues.set(callScope, scope);
    return next(request);
  };
  const now = (): Date => new Date();
  const answerWrite = createAnswerWrite({ database, now });
  const accountGuard = createAccountGuard(createRoleService({ database, log, now }));
  const handler = createUserHandler(users, createUserEventsHandler(log), answerWrite, accountGuard);
  const interceptors = [createErrorInterceptor(createFailureTranslation(testLogger)), identify];
  const transport = createRouterTransport((router) => void router.service(UserService, handler), {
    router: { interceptors },
  });
  return createClient(UserService, transport);
}

function send(
  client: Client<typeof UserService>,
  ids: readonly string[],
  request: Request,
  options: CallOptions,
): Promise<object> {
  if (request.kind === "register") return client.registerUser(request, options);
  const id = ids[request.place] ?? "00000000-0000-7000-8000-000000000000";
  switch (request.kind) {
    case "rename":
      return client.updateUser({ user: { id, email: request.email } }, options);
    case "activate":
      return client.activateUser({ id }, options);
    case "deactivate":
      return client.deactivateUser({ id }, options);
    case "delete":
      return client.deleteUser({ id }, options);
  }
}

/** The answer, or the reason of the refusal. */
async function settle(call: Promise<object>): Promise<object | string> {
  try {
    return await call;
  } catch (error) {
    const reason = error instanceof ConnectError && error.findDetails(ErrorInfoSchema)[0]?.reason;
    if (reason) return reason;
    throw error;
  }
}

async function runStep(
  { database, client }: { database: Database; client: Client<typeof UserService> },
  model: Model,
  ids: string[],
  step: Step,
): Promise<void> {
  if (step.kind === "age") {
    await sql`update idempotency_keys set created_at = created_at - interval '25 hours'`.execute(database);
    model.kept.clear();
    return;
  }
  const { actor, key, request } = step;
  const headers = { "x-actor": actor, ...(key !== "" && { "idempotency-key": key }) };
  // Without a key, calls at once are as many writes; their order is not told.
  const copies = key === "" ? 1 : step.copies;
  const answers = await Promise.all(
    Array.from({ length: copies }, () => settle(send(client, ids, request, { headers }))),
  );
  for (const [index, answer] of answers.entries()) {
    const expected = model.call(actor, key, request);
    if (expected === "anew") {
      assert.equal(typeof answer, "object", `${index}: ${String(answer)}`);
      model.keep(actor, key, request, answer);
      if (request.kind === "register") ids.push((answer as { id: string }).id);
    } else if (expected === "again") {
      assert.deepEqual(answer, model.kept.get(`${actor} ${key}`)?.answer);
    } else {
      assert.equal(answer, expected);
    }
  }
}

for (const backend of backends) {
  describe(`idempotency keys, on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("make of any calls what a list of what was answered would make of them", async (t) => {
      const { database } = await shared.renew();
      const client = connect(await openLog(t, database));
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 25 }), async (script) => {
          await shared.renew();
          const model = new Model();
          const ids: string[] = [];
          for (const step of script) await runStep({ database, client }, model, ids, step);
          const { events, audits } = await countKept(database);
          assert.deepEqual({ events, audits }, { events: model.events, audits: model.entries });
        }),
        { numRuns: 25 * scale },
      );
    });
  });
}
