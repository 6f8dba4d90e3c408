import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type UserEvent,
  UserEventsRequest_Start,
  type UserEventsRequestSchema,
  type UserService,
} from "../../gen/users/v1/users_pb.ts";

type Users = Client<typeof UserService>;
type EventsRequest = MessageInitShape<typeof UserEventsRequestSchema>;

/** Asks for progress messages: the first comes at once and says where the stream is. */
const progressInterval = { seconds: 10n };

/** Pauses between attempts to resume: doubling from the first to the longest. */
const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** These say that the call, not the server, is wrong: to try again changes nothing. */
const finalCodes = new Set([
  Code.InvalidArgument,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.NotFound,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

/**
 * Reads the events behind a cursor (or the oldest that are retained) up to the log's end as it is now.
 *
 * @throws ConnectError
 */
export async function* readEventsToHead(
  users: Users,
  after: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<UserEvent> {
  const head = await findHead(users, signal);
  const request: EventsRequest = {
    afterCursor: after ?? "",
    start: UserEventsRequest_Start.EARLIEST,
    progressInterval,
  };
  for await (const event of users.streamUserEvents(request, { signal })) {
    if (event.type !== "progress" && event.revision <= head) {
      yield event;
    }
    if (event.revision >= head) {
      return;
    }
  }
  throw endedEarly();
}

async function findHead(users: Users, signal: AbortSignal): Promise<bigint> {
  for await (const event of users.streamUserEvents({ progressInterval }, { signal })) {
    return event.revision;
  }
  throw endedEarly();
}

/** Told how the connection of a stream that never ends fares. */
export interface FollowListener {
  onLost(error: ConnectError): void;
  onResumed(): void;
}

/**
 * Follows the log from a cursor (or from now) until the signal aborts, each event once: when the server goes
 * away it is asked again, ever more slowly, for what comes behind the last event given.
 *
 * @throws ConnectError where the first attempt fails, or where no attempt can succeed
 */
export async function* followEvents(
  users: Users,
  after: string | undefined,
  listener: FollowListener,
  signal: AbortSignal,
): AsyncGenerator<UserEvent> {
  let cursor = after ?? "";
  let hasBegun = false;
  let pauseMs = 0;
  for (;;) {
    try {
      for await (const event of users.streamUserEvents(
        { afterCursor: cursor, progressInterval },
        { signal },
      )) {
        if (pauseMs > 0) {
          listener.onResumed();
        }
        hasBegun = true;
        pauseMs = 0;
        if (event.type !== "progress") {
          yield event;
        }
        cursor = event.cursor;
      }
      throw endedEarly();
    } catch (failure) {
      const error = ConnectError.from(failure);
      // A stream that a credential's end has ended is opened once more, with the key that there is now.
      const wasLive = pauseMs === 0;
      const mayMend = !finalCodes.has(error.code) || (error.code === Code.Unauthenticated && wasLive);
      if (signal.aborted || !hasBegun || !mayMend) {
        throw error;
      }
      if (pauseMs === 0) {
        listener.onLost(error);
      }
      pauseMs = Math.min(Math.max(firstPauseMs, pauseMs * 2), longestPauseMs);
      // Spread, so that the clients of a server that restarts do not all come back at once.
      await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}

function endedEarly(): ConnectError {
  return new ConnectError("the server ended the stream", Code.Unavailable);
}
