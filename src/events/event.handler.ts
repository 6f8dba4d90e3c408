import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type UserEvent,
  UserEventSchema,
  type UserEventsRequest,
  UserEventsRequest_Start,
} from "../../gen/users/v1/users_pb.ts";
import { fromBursts, mapItems } from "../lane/bursts.ts";
import { encodeOnce } from "../lane/encode-once.ts";
import { encodeCursor } from "./cursor.ts";
import type { LoggedEvent } from "./event.ts";
import type { EventLog } from "./event-log.ts";
import type { StreamItem, StreamRequest, StreamStart } from "./event-stream.ts";
import { toUserMessage } from "./user-snapshot.ts";

/** Creates the implementation of `StreamUserEvents`. */
export function createUserEventsHandler(log: EventLog) {
  return (request: UserEventsRequest, context: HandlerContext): AsyncIterable<UserEvent> =>
    fromBursts(mapItems(log.stream(toStreamRequest(request), context.signal), toMessages));
}

function toStreamRequest(request: UserEventsRequest): StreamRequest {
  return {
    start: toStreamStart(request),
    filter: {
      types: new Set(request.types),
      userIds: new Set(request.userIds.map((id) => id.toLowerCase())),
    },
    progressIntervalMs:
      request.progressInterval === undefined ? undefined : durationMs(request.progressInterval),
  };
}

function toStreamStart(request: UserEventsRequest): StreamStart {
  if (request.afterCursor !== "") {
    return { cursor: request.afterCursor };
  }
  return request.start === UserEventsRequest_Start.EARLIEST ? "earliest" : "now";
}

/** Made once a burst and once an event, however many streams they go to: encoded once, too. */
const burstsOfMessages = new WeakMap<readonly LoggedEvent[], readonly UserEvent[]>();
const messagesOfEvents = new WeakMap<LoggedEvent, UserEvent>();

function toMessages(item: StreamItem): readonly UserEvent[] {
  if (item.kind === "progress") return [toProgressMessage(item)];
  const { events, databaseId } = item;
  let messages = burstsOfMessages.get(events);
  if (messages === undefined) {
    messages = encodeOnce(events.map((event) => toMessage(event, databaseId)));
    burstsOfMessages.set(events, messages);
  }
  return messages;
}

function toMessage(event: LoggedEvent, databaseId: string): UserEvent {
  let message = messagesOfEvents.get(event);
  if (message === undefined) {
    message = encodeOnce(
      create(UserEventSchema, {
        id: event.id,
        type: event.type,
        payload: toUserMessage(event.user),
        occurredAt: event.occurredAt.toISOString(),
        cursor: encodeCursor({ databaseId, revision: event.revision }),
        revision: event.revision,
      }),
    );
    messagesOfEvents.set(event, message);
  }
  return message;
}

function toProgressMessage(position: { databaseId: string; revision: bigint }): UserEvent {
  return create(UserEventSchema, {
    type: "progress",
    cursor: encodeCursor(position),
    revision: position.revision,
  });
}
