import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type UserEvent,
  UserEventSchema,
  type UserEventsRequest,
  UserEventsRequest_Start,
} from "../../gen/users/v1/users_pb.ts";
import { encodeCursor } from "./cursor.ts";
import type { LoggedEvent } from "./event.ts";
import type { EventLog } from "./event-log.ts";
import type { StreamItem, StreamStart } from "./event-stream.ts";
import { toUserMessage } from "./user-snapshot.ts";

/** Creates the implementation of `StreamUserEvents`. */
export function createUserEventsHandler(log: EventLog) {
  return async function* streamUserEvents(
    request: UserEventsRequest,
    context: HandlerContext,
  ): AsyncGenerator<UserEvent> {
    const items = log.stream(
      {
        start: toStreamStart(request),
        filter: {
          types: new Set(request.types),
          userIds: new Set(request.userIds.map((id) => id.toLowerCase())),
        },
        progressIntervalMs:
          request.progressInterval === undefined ? undefined : durationMs(request.progressInterval),
      },
      context.signal,
    );
    for await (const item of items) {
      yield toMessage(item);
    }
  };
}

function toStreamStart(request: UserEventsRequest): StreamStart {
  if (request.afterCursor !== "") {
    return { cursor: request.afterCursor };
  }
  return request.start === UserEventsRequest_Start.EARLIEST ? "earliest" : "now";
}

/** Made once an event, however many streams it goes to: the messages are read only. */
const messages = new WeakMap<LoggedEvent, UserEvent>();

function toMessage(item: StreamItem): UserEvent {
  if (item.kind === "progress") {
    return create(UserEventSchema, {
      type: "progress",
      cursor: encodeCursor(item),
      revision: item.revision,
    });
  }
  const { event, databaseId } = item;
  let message = messages.get(event);
  if (message === undefined) {
    message = create(UserEventSchema, {
      id: event.id,
      type: event.type,
      payload: toUserMessage(event.user),
      occurredAt: event.occurredAt.toISOString(),
      cursor: encodeCursor({ databaseId, revision: event.revision }),
      revision: event.revision,
    });
    messages.set(event, message);
  }
  return message;
}
