import { randomBytes } from "node:crypto";
import { Metadata, type ServerWritableStream, status } from "@grpc/grpc-js";
import { v7 as uuidv7 } from "uuid";
import type { User, UserEvent, UserEventsRequest } from "./messages.ts";

type Subscriber = ServerWritableStream<UserEventsRequest, UserEvent>;

/** How many events wait for a subscriber that reads slower than users register before it is dropped. */
const maxBufferedEvents = 1_024;

/** 21 bytes that stay the same and the revision's 8: 39 characters of base64url. */
const cursorPrefix = randomBytes(21);

const subscribers = new Set<Subscriber>();
let revision = 0n;

/** Adds a subscriber until its call ends. Its headers say that it misses nothing from here on. */
export function subscribe(call: Subscriber): void {
  subscribers.add(call);
  const unsubscribe = () => subscribers.delete(call);
  call.on("cancelled", unsubscribe).on("error", unsubscribe).on("close", unsubscribe);
  call.sendMetadata(new Metadata());
}

/** Writes the event of a registration to every subscriber, and drops those that have fallen behind. */
export function publishRegistration(user: User): void {
  revision += 1n;
  const cursor = Buffer.alloc(29, cursorPrefix);
  cursor.writeBigUInt64BE(revision, cursorPrefix.length);
  const event: UserEvent = {
    id: uuidv7(),
    type: "user_registered",
    payload: user,
    occurredAt: user.createdAt,
    cursor: cursor.toString("base64url"),
    revision: revision.toString(),
  };
  for (const call of subscribers) {
    if (call.writableLength >= maxBufferedEvents) {
      subscribers.delete(call);
      call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "reads too slowly" });
    } else {
      call.write(event);
    }
  }
}
