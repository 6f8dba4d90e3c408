import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  UserEventsRequest_Start,
  type User as UserMessage,
  UserService as UserServiceDesc,
} from "../../gen/users/v1/users_pb.ts";
import { encodeCursor } from "../../src/events/cursor.ts";
import type { EventLog } from "../../src/events/event-log.ts";
import type { StreamStart } from "../../src/events/event-stream.ts";
import { DomainError } from "../../src/platform/errors.ts";
import type { UserChange } from "../../src/users/account.ts";
import type { UserService } from "../../src/users/user.service.ts";
import type { User } from "../../src/users/user.ts";
import { type SingleItem, toSingleItems } from "./single-items.ts";

/** A user as texts, the same wherever it was read. */
export interface PlainUser {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly isActive: boolean;
  readonly createdAt: string;
}

/** An event as texts, the same wherever it was read. */
export interface PlainEvent {
  readonly id: string;
  readonly type: string;
  readonly user: PlainUser;
  readonly occurredAt: string;
}

/** One message of a stream; one without an event is a progress message. */
export interface ReadItem {
  readonly revision: bigint;
  readonly cursor: string;
  readonly event?: PlainEvent;
}

/** What a stream is opened with. */
export interface ReadRequest {
  readonly start: StreamStart;
  /** Empty means all. */
  readonly types: readonly string[];
  readonly userIds: readonly string[];
  readonly progressIntervalMs?: number | undefined;
}

/** A call that was refused for an expected reason. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: string;
  readonly earliestCursor: string | undefined;

  constructor(reason: string, earliestCursor: string | undefined, options: ErrorOptions) {
    super(reason, options);
    this.reason = reason;
    this.earliestCursor = earliestCursor;
  }
}

/** A way to the users and their log: inside a process or over the wire. Expected failures are refusals. */
export interface LogAccess {
  register(email: string, username: string): Promise<{ id: string }>;
  update(id: string, change: UserChange): Promise<PlainUser>;
  setActive(id: string, isActive: boolean): Promise<PlainUser>;
  delete(id: string): Promise<void>;
  stream(request: ReadRequest, signal: AbortSignal): AsyncGenerator<ReadItem>;
}

/** A user as texts. */
export function toPlainUser(user: User): PlainUser {
  const { id, email, username, isActive, createdAt } = user;
  return { id, email, username, isActive, createdAt: createdAt.toISOString() };
}

/** Access inside the process. */
export function accessInProcess(users: UserService, log: EventLog): LogAccess {
  return {
    register: (email, username) => refusing(users.register({ email, username })),
    update: async (id, change) => toPlainUser(await refusing(users.update(id, change))),
    setActive: async (id, isActive) => toPlainUser(await refusing(users.setActive(id, isActive))),
    delete: (id) => refusing(users.delete(id)),
    async *stream({ start, types, userIds, progressIntervalMs }, signal) {
      const filter = { types: new Set(types), userIds: new Set(userIds) };
      try {
        for await (const item of toSingleItems(log.stream({ start, filter, progressIntervalMs }, signal))) {
          yield toReadItem(item);
        }
      } catch (error) {
        throw toRefusal(error);
      }
    },
  };
}

function toReadItem(item: SingleItem): ReadItem {
  if (item.kind === "progress") {
    return { revision: item.revision, cursor: encodeCursor(item) };
  }
  const { id, type, user, occurredAt, revision } = item.event;
  return {
    revision,
    cursor: encodeCursor({ databaseId: item.databaseId, revision }),
    event: { id, type, user: toPlainUser(user), occurredAt: occurredAt.toISOString() },
  };
}

/** Access over the wire, by the generated client. */
export function accessByClient(transport: Transport): LogAccess {
  const client = createClient(UserServiceDesc, transport);
  return {
    register: (email, username) => refusing(client.registerUser({ email, username })),
    async update(id, { email, username }) {
      const paths = [
        ...(email === undefined ? [] : ["email"]),
        ...(username === undefined ? [] : ["username"]),
      ];
      const user = { id, email: email ?? "", username: username ?? "" };
      return fromMessage((await refusing(client.updateUser({ user, updateMask: { paths } }))).user);
    },
    async setActive(id, isActive) {
      const answer = isActive ? client.activateUser({ id }) : client.deactivateUser({ id });
      return fromMessage((await refusing<{ user?: UserMessage | undefined }>(answer)).user);
    },
    async delete(id) {
      await refusing(client.deleteUser({ id }));
    },
    async *stream({ start, types, userIds, progressIntervalMs }, signal) {
      const from =
        typeof start === "object"
          ? { afterCursor: start.cursor }
          : { start: UserEventsRequest_Start[start === "now" ? "NOW" : "EARLIEST"] };
      const progress = progressIntervalMs !== undefined && {
        progressInterval: {
          seconds: BigInt(Math.floor(progressIntervalMs / 1_000)),
          nanos: (progressIntervalMs % 1_000) * 1_000_000,
        },
      };
      const request = { ...from, types: [...types], userIds: [...userIds], ...progress };
      try {
        for await (const message of client.streamUserEvents(request, { signal })) {
          const { revision, cursor, id, type, payload, occurredAt } = message;
          const event = { id, type, user: payload && fromMessage(payload), occurredAt };
          yield event.user === undefined
            ? { revision, cursor }
            : { revision, cursor, event: event as PlainEvent };
        }
      } catch (error) {
        throw toRefusal(error);
      }
    },
  };
}

function fromMessage(user: UserMessage | undefined): PlainUser {
  if (user === undefined) {
    throw new Error("the answer has no user");
  }
  const { id, email, username, isActive, createdAt } = user;
  return { id, email, username, isActive, createdAt };
}

async function refusing<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw toRefusal(error);
  }
}

/** An expected failure as a refusal; any other as it is. */
function toRefusal(error: unknown): unknown {
  if (error instanceof DomainError) {
    return new Refusal(error.reason, error.metadata["earliest_cursor"], { cause: error });
  }
  if (error instanceof ConnectError && error.code !== Code.Unavailable) {
    const info = error.findDetails(ErrorInfoSchema)[0];
    return info ? new Refusal(info.reason, info.metadata["earliest_cursor"], { cause: error }) : error;
  }
  return error;
}
