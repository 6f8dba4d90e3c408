import { toJsonString } from "@bufbuild/protobuf";
import { type UserEvent, UserEventSchema } from "../../gen/users/v1/users_pb.ts";

/** As long as the longest type, so that what follows it stands in a column. */
const typeWidth = "user_deactivated".length;

/** The event for people: time, type, username, email, the user's id, revision, cursor. */
export function formatEventLine(event: UserEvent): string {
  const { username = "", email = "", id = "" } = event.payload ?? {};
  return [
    event.occurredAt,
    event.type.padEnd(typeWidth),
    username,
    email,
    id,
    event.revision.toString(),
    event.cursor,
  ].join("  ");
}

/** The event for programs: proto3 JSON, as the Connect protocol carries it. */
export function formatEventJson(event: UserEvent): string {
  return toJsonString(UserEventSchema, event);
}
