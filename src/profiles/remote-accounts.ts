import { Code, ConnectError, createClient } from "@connectrpc/connect";
import pLimit from "p-limit";
import { AuthService, type UserResponse } from "../../gen/auth/auth_pb.ts";
import type { BackOff } from "../client/back-off.ts";
import { applyCallPolicy } from "../client/call-policy.ts";
import { createRoundRobinTransport, type RoundRobinOptions } from "../client/round-robin.ts";
import { traceCalls } from "../platform/traced-calls.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { AccountFacts, AccountSource, Caller } from "./account-source.ts";
import { ignoreMissing, indexById } from "./local-accounts.ts";
import { AuthUnavailableError } from "./profile.errors.ts";

/** Where auth.AuthService is, and how long it may take. */
export interface RemoteAccountsOptions extends Omit<RoundRobinOptions, "baseUrl"> {
  /** http or https, with nothing behind the port. */
  readonly url: string;
  /** How long a call may take, all attempts together; a caller who has less time waits no longer. */
  readonly timeoutMs?: number;
  /** The waits between attempts at all addresses. */
  readonly retry?: BackOff;
}

/** Accounts of another process. */
export interface RemoteAccounts extends AccountSource {
  /** Closes the connections and fails the calls on them. */
  close(): void;
}

/** auth has no batch: so many calls at once for one caller. */
const maxConcurrency = 16;

/**
 * Prepares a client of auth.AuthService, over connections to all of its host's addresses. It is connected to on
 * first use, so it need not be there yet.
 *
 * @throws Error where the URL is none that gRPC can be spoken at, or the credential none that can be sent there
 */
export function createRemoteAccounts(options: RemoteAccountsOptions): RemoteAccounts {
  const { url, timeoutMs = 2_000, retry = { firstMs: 20, longestMs: 500 }, ...connections } = options;
  const transport = createRoundRobinTransport({ ...connections, baseUrl: requireOrigin(url) });
  const client = createClient(AuthService, traceCalls(applyCallPolicy(transport, { timeoutMs, retry })));

  async function get(userId: string, caller?: Caller): Promise<AccountFacts> {
    try {
      const account = await client.getUser(
        { userId },
        {
          timeoutMs: Math.max(1, Math.min(timeoutMs, caller?.timeoutMs() ?? timeoutMs)),
          ...(caller !== undefined && { signal: caller.signal }),
        },
      );
      return toFacts(account);
    } catch (error) {
      // The caller's own end says more than what it did to this call.
      caller?.signal.throwIfAborted();
      throw translate(error);
    }
  }

  return {
    get,
    async getMany(userIds, caller) {
      const limit = pLimit(maxConcurrency);
      try {
        const found = await limit.map(userIds, (userId) => get(userId, caller).catch(ignoreMissing));
        return indexById(found);
      } finally {
        // After a failure nobody waits for the rest.
        limit.clearQueue();
      }
    },
    close: transport.close,
  };
}

function requireOrigin(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new Error("the URL of auth must be like http://auth:50051, with nothing behind the port");
  }
  return url.origin;
}

/** What a failed call means to our own caller. Whatever auth has said beside that stays in the log. */
function translate(error: unknown): Error {
  const { code } = ConnectError.from(error);
  switch (code) {
    case Code.NotFound:
      return new UserNotFoundError();
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.ResourceExhausted:
      return new AuthUnavailableError({ cause: error });
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      // Our fault, not our caller's, who has shown something else: INTERNAL, and this in the log.
      return new Error(
        `auth refuses this process (${Code[code]}): AUTH_API_KEY must be a good API key with the scope accounts:read`,
        { cause: error },
      );
    default:
      return new Error(`auth refused to give an account: ${Code[code]}`, { cause: error });
  }
}

function toFacts({ id, email, fullName, createdAt, updatedAt }: UserResponse): AccountFacts {
  return { id, email, fullName, createdAt: toDate(createdAt), updatedAt: toDate(updatedAt) };
}

function toDate(seconds: bigint): Date {
  return new Date(Number(seconds) * 1_000);
}
