import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { User } from "../users/user.ts";
import { describeCallFailure } from "./call-failure.ts";
import { CommandError } from "./failure.ts";
import type { Outcome, Registrar } from "./registrar.ts";
import type { ServerConnection } from "./server-connection.ts";

/** Enough to keep a server's group commit full, and fewer than the 100 streams that it takes from a connection. */
const callsInFlight = 64;

/** A server that has not answered for so long will not. */
const callTimeoutMs = 30_000;

/** Registers through a running server, a call a user. The connection is closed with the registrar. */
export function createServerRegistrar(server: ServerConnection): Registrar {
  return {
    description: `the server at ${server.url}`,
    register: (users) => registerEach(server, users),
    close: async () => server.close(),
  };
}

async function* registerEach(server: ServerConnection, users: readonly User[]): AsyncGenerator<Outcome> {
  const stop = new AbortController();
  const calls = users.map(() => Promise.withResolvers<Outcome>());
  // Users behind a failed call fail too; only the first failure in their order is thrown.
  for (const call of calls) call.promise.catch(() => {});
  const earlier = findEarlier(users);
  let next = 0;

  async function callInTurn(): Promise<void> {
    for (let index = next++; index < users.length; index = next++) {
      const [user, call] = [users[index], calls[index]];
      if (user === undefined || call === undefined) return;
      try {
        // Whoever collides with a user before it must not overtake it. That one is under way: turns are in order.
        await Promise.allSettled((earlier[index] ?? []).map((before) => calls[before]?.promise));
        stop.signal.throwIfAborted();
        call.resolve(await registerOne(server, user, stop.signal));
      } catch (error) {
        call.reject(error);
      }
    }
  }

  const callers = Array.from({ length: callsInFlight }, callInTurn);
  try {
    for (const call of calls) {
      yield await call.promise;
    }
  } catch (error) {
    throw new CommandError(describeCallFailure(server.url, error), { cause: error });
  } finally {
    stop.abort();
    await Promise.all(callers);
  }
}

/** For each user the places of those before it that have the same email or username, the last of each. */
function findEarlier(users: readonly User[]): number[][] {
  const lastByValue = new Map<string, number>();
  return users.map((user, index) => {
    const values = [user.email, user.username];
    const places = values.flatMap((value) => lastByValue.get(value) ?? []);
    for (const value of values) lastByValue.set(value, index);
    return places;
  });
}

async function registerOne(server: ServerConnection, user: User, signal: AbortSignal): Promise<Outcome> {
  const { email, username } = user;
  try {
    await server.users.registerUser({ email, username }, { signal, timeoutMs: callTimeoutMs });
    return { kind: "added" };
  } catch (failure) {
    const error = ConnectError.from(failure);
    if (error.code === Code.InvalidArgument) {
      return { kind: "refused", reason: describeViolations(error) };
    }
    if (error.code !== Code.AlreadyExists) {
      throw error;
    }
    return (await isPresent(server, user, signal))
      ? { kind: "present" }
      : { kind: "refused", reason: describeTaken(error) };
  }
}

async function isPresent(server: ServerConnection, user: User, signal: AbortSignal): Promise<boolean> {
  try {
    const found = await server.users.getUser({ email: user.email }, { signal, timeoutMs: callTimeoutMs });
    return found.user?.username === user.username;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) {
      return false;
    }
    throw error;
  }
}

function describeTaken(error: ConnectError): string {
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
  return reason === "EMAIL_TAKEN"
    ? "email taken"
    : reason === "USERNAME_TAKEN"
      ? "username taken"
      : error.rawMessage;
}

function describeViolations(error: ConnectError): string {
  const violations = error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
  return violations.length === 0
    ? error.rawMessage
    : violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
}
