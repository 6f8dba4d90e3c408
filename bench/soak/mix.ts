import { randomUUID } from "node:crypto";
import { type Client, createClient } from "@connectrpc/connect";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { bearer, type HeaderFields, withFields } from "../../test/support/callers.ts";
import type { Step } from "../../test/support/crash-writer.ts";
import type { FaultRecord, UserLedger } from "../../test/support/fault-record.ts";
import type { SeededRandom } from "../../test/support/seeded-random.ts";
import type { SoakClient } from "./clients.ts";
import type { SoakSubject } from "./subject.ts";
import { codeOf, type Tally } from "./tally.ts";

/** Calls of all kinds, one at a time, each with what is expected of it. */
export interface Mix {
  /** Makes one call. Never fails: what became of it is in the tally and the record. */
  callOnce(): Promise<void>;
}

/** What the calls are made with. */
export interface MixDependencies {
  readonly random: SeededRandom;
  readonly subject: SoakSubject;
  readonly clients: readonly [SoakClient, ...SoakClient[]];
  /** The superuser's, and the reader's. */
  readonly tokens: { readonly superuser: string; readonly reader: string };
  readonly tally: Tally;
  readonly record: FaultRecord;
}

/** So long that a call which takes it has been lost. */
const timeoutMs = 30_000;

/** Creates the mix. The shares are in `kinds`. */
export function createMix({ random, subject, clients, tokens, tally, record }: MixDependencies): Mix {
  /** Users whom nobody is changing just now. */
  const idle: UserLedger[] = [];
  let registrations = 0;

  async function measure<Answer>(
    name: string,
    call: () => Promise<Answer>,
    ...expected: readonly string[]
  ): Promise<{ readonly answer: Answer } | { readonly code: string }> {
    const begin = performance.now();
    const outcome = await call().then(
      (answer) => ({ answer }),
      (error: unknown) => ({ code: codeOf(error) }),
    );
    tally.note(name, "code" in outcome ? outcome.code : "OK", performance.now() - begin, expected);
    return outcome;
  }

  const withToken = (): HeaderFields => bearer(random.pick([tokens.superuser, subject.apiKey.secret]));
  const usersBy = ({ transport }: SoakClient, headers: HeaderFields): Client<typeof UserService> =>
    createClient(UserService, withFields(transport, headers));
  const authBy = ({ transport }: SoakClient) => createClient(AuthService, transport);

  /** Makes a write and takes note of what its caller was told. */
  async function write(
    name: string,
    ledger: UserLedger,
    step: Step,
    send: (headers: HeaderFields) => Promise<{ id: string }>,
  ): Promise<void> {
    const headers = random.oneIn(2) ? { "idempotency-key": randomUUID() } : {};
    const outcome = await measure(name, () => send(headers), "OK");
    if ("answer" in outcome) {
      ledger.id = outcome.answer.id;
      ledger.steps.push(step);
      if (step.type !== "user_deleted") idle.push(ledger);
    } else if (outcome.code !== "ResourceExhausted") {
      // Whoever is refused for a busy server's sake can be sure that nothing was kept. Else the user is left alone.
      ledger.unknown = step;
    } else if (ledger.steps.length > 0) {
      idle.push(ledger);
    }
  }

  const kinds: readonly (readonly [share: number, call: (client: SoakClient) => Promise<unknown>])[] = [
    [12, register],
    [6, change],
    [40, lookUp],
    [3, (client) => measure(`Authenticate ${client.protocol}`, () => logIn(client), "OK")],
    [15, validate],
    [4, cancel],
    [4, lookUpNobody],
    [4, sendBadInput],
    [4, callWithoutCredential],
    [4, callWithoutPermission],
    [4, registerTwice],
  ];
  const shares = kinds.reduce((sum, [share]) => sum + share, 0);

  async function register(client: SoakClient): Promise<void> {
    registrations += 1;
    const username = `soak${registrations}`;
    const email = `${username}@example.com`;
    const ledger: UserLedger = { username, id: "", steps: [], unknown: undefined };
    record.ledgers.push(ledger);
    const step = { username, type: "user_registered", email, isActive: true };
    const users = usersBy(client, withToken());
    await write(`RegisterUser ${client.protocol}`, ledger, step, (headers) =>
      users.registerUser({ email, username }, { timeoutMs, headers }),
    );
  }

  async function change(client: SoakClient): Promise<void> {
    const [ledger] = idle.splice(random.integer(0, idle.length - 1), 1);
    const last = ledger?.steps.at(-1);
    if (ledger === undefined || last === undefined) return;
    const { id } = ledger;
    const users = usersBy(client, withToken());
    if (random.oneIn(4)) {
      const step = { ...last, type: "user_deleted" };
      await write(`DeleteUser ${client.protocol}`, ledger, step, (headers) =>
        users.deleteUser({ id }, { timeoutMs, headers }).then(() => ({ id })),
      );
      return;
    }
    const email = `m${random.integer(1, 1_000_000_000)}.${last.username}@example.com`;
    const request = { user: { id, email }, updateMask: { paths: ["email"] } };
    await write(
      `UpdateUser ${client.protocol}`,
      ledger,
      { ...last, type: "user_updated", email },
      (headers) => users.updateUser(request, { timeoutMs, headers }).then(() => ({ id })),
    );
  }

  async function lookUp(client: SoakClient): Promise<void> {
    const { id } = random.pickAny(idle) ?? subject.reader;
    const users = usersBy(client, withToken());
    // Somebody may be deleting the user meanwhile.
    await measure(`GetUser ${client.protocol}`, () => users.getUser({ id }, { timeoutMs }), "OK", "NotFound");
  }

  async function logIn(client: SoakClient): Promise<void> {
    const { email, password } = subject.reader;
    const { refreshToken } = await authBy(client).authenticate({ email, password }, { timeoutMs });
    await authBy(client).refreshToken({ refreshToken }, { timeoutMs });
  }

  async function validate(client: SoakClient): Promise<void> {
    const token = random.pick([tokens.superuser, tokens.reader, "none"]);
    await measure(
      `ValidateToken ${client.protocol}`,
      () => authBy(client).validateToken({ token }, { timeoutMs }),
      "OK",
    );
  }

  async function cancel(client: SoakClient): Promise<void> {
    const leaving = new AbortController();
    const call = usersBy(client, withToken()).listUsers({ pageSize: 100 }, { signal: leaving.signal });
    setImmediate(() => leaving.abort());
    await measure(`ListUsers, cancelled, ${client.protocol}`, () => call, "OK", "Canceled");
  }

  async function lookUpNobody(client: SoakClient): Promise<void> {
    const users = usersBy(client, withToken());
    const call = () => users.getUser({ email: "nobody@example.com" }, { timeoutMs });
    await measure(`GetUser, nobody, ${client.protocol}`, call, "NotFound");
  }

  async function sendBadInput(client: SoakClient): Promise<void> {
    const users = usersBy(client, withToken());
    const call = () => users.registerUser({ email: "no email", username: "_" }, { timeoutMs });
    await measure(`RegisterUser, bad input, ${client.protocol}`, call, "InvalidArgument");
  }

  async function callWithoutCredential(client: SoakClient): Promise<void> {
    const users = usersBy(client, random.pick([{}, bearer("nonsense")]));
    const call = () => users.listUsers({}, { timeoutMs });
    await measure(`ListUsers, no credential, ${client.protocol}`, call, "Unauthenticated");
  }

  async function callWithoutPermission(client: SoakClient): Promise<void> {
    const users = usersBy(client, bearer(tokens.reader));
    const call = () => users.registerUser({ email: "x@example.com", username: "xxx" }, { timeoutMs });
    await measure(`RegisterUser, no permission, ${client.protocol}`, call, "PermissionDenied");
  }

  async function registerTwice(client: SoakClient): Promise<void> {
    const users = usersBy(client, withToken());
    const { email } = subject.reader;
    const call = () => users.registerUser({ email, username: "twice" }, { timeoutMs });
    await measure(`RegisterUser, taken, ${client.protocol}`, call, "AlreadyExists");
  }

  return {
    async callOnce() {
      const client = random.pick(clients);
      let left = random.integer(1, shares);
      for (const [share, call] of kinds) {
        left -= share;
        if (left <= 0) {
          await call(client);
          return;
        }
      }
    },
  };
}
