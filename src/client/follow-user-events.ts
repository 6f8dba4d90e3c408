import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type UserEvent, UserEventsRequest_Start } from "../../gen/users/v1/users_pb.ts";
import { type BackOff, chooseDelayMs, pause } from "./back-off.ts";
import type { UserBridgeClient } from "./user-bridge-client.ts";
import { openUserEventStream, type UserEventStream } from "./user-event-stream.ts";
import { isRefusal, toRefusedError } from "./user-events-refused.ts";

/** What can happen to a user. */
export type UserEventType =
  | "user_registered"
  | "user_activated"
  | "user_deactivated"
  | "user_updated"
  | "user_deleted";

/** Keeps the place that a follower has reached, beyond its own life. */
export interface CursorStore {
  /** The cursor saved last; undefined or empty where there is none. */
  load(): string | undefined | Promise<string | undefined>;
  save(cursor: string): void | Promise<void>;
}

/** How a follower fares. */
export type FollowStatus =
  | {
      readonly state: "live";
      /** Where the log has been followed to. */
      readonly cursor: string;
      readonly revision: bigint;
      /** The cursor that this stream resumed behind; undefined where it began without one. */
      readonly resumedFrom: string | undefined;
    }
  | { readonly state: "reconnecting"; readonly error: ConnectError; readonly delayMs: number };

/** Which events to follow, from where, and for how long. */
export interface FollowOptions {
  /** Only events of these types; empty means all. */
  readonly types?: readonly UserEventType[];
  /** Only events of these users; empty means all. */
  readonly userIds?: readonly string[];
  /** Begin behind this cursor. A cursor in the store takes precedence. */
  readonly after?: string;
  /** Where to begin without a cursor: with the next event, or with the oldest one retained. */
  readonly start?: "now" | "earliest";
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
  /** Told each cursor once its event has been dealt with, which is when the next one is asked for. */
  readonly store?: CursorStore;
  /** After a silence of so long the server says that it lives; after three, the stream counts as dead. 10 s. */
  readonly progressIntervalMs?: number;
  /** The waits before the stream is opened anew. */
  readonly reconnect?: BackOff;
  /** Told when a stream has begun, and when one was lost. */
  readonly onStatus?: (status: FollowStatus) => void;
}

const defaultProgressIntervalMs = 10_000;
const silentIntervals = 3;
const defaultReconnect: BackOff = { firstMs: 200, longestMs: 10_000 };

/**
 * Follows the log of events, in order and each event once, across restarts of the server, lost connections
 * and streams gone silent, until the signal aborts or the loop is left.
 *
 * With a store it goes on where it was, also in another life: an event whose successor was never asked for is
 * then given again, and no other.
 *
 * A credential that has ended is asked for anew, once.
 *
 * @throws UserEventsRefusedError where no attempt can succeed, as a CredentialRefusedError where the new credential is
 * no better; and the store's own errors
 */
export async function* followUserEvents(
  client: UserBridgeClient,
  options: FollowOptions = {},
): AsyncGenerator<UserEvent, void, undefined> {
  const { signal, reconnect = defaultReconnect } = options;
  const progressIntervalMs = options.progressIntervalMs ?? defaultProgressIntervalMs;
  const place: Place = { cursor: (await options.store?.load()) || options.after || "", revision: 0n };
  let hasAskedAnew = false;

  for (let failures = 0; !hasAborted(signal); failures++) {
    const request = toRequest(options, place.cursor, progressIntervalMs);
    const stream = openUserEventStream(client, request, silentIntervals * progressIntervalMs, signal);
    let failure: ConnectError;
    try {
      const first = await stream.receive();
      if (!(first instanceof ConnectError)) {
        failures = 0;
        hasAskedAnew = false;
      }
      failure = yield* takeAll(stream, first, place, options);
    } finally {
      stream.close();
    }
    if (hasAborted(signal)) return;
    const asksAnew: boolean = failure.code === Code.Unauthenticated && !hasAskedAnew;
    if (isRefusal(failure) && !asksAnew) throw toRefusedError(failure);
    hasAskedAnew ||= asksAnew;
    const delayMs = chooseDelayMs(reconnect, failures);
    options.onStatus?.({ state: "reconnecting", error: failure, delayMs });
    await pause(delayMs, signal);
  }
}

/** Every matching event up to here has been dealt with. */
interface Place {
  cursor: string;
  revision: bigint;
}

/** Gives the events of one stream, moves the place behind each, and returns what ended the stream. */
async function* takeAll(
  stream: UserEventStream,
  first: UserEvent | ConnectError,
  place: Place,
  { store, onStatus }: FollowOptions,
): AsyncGenerator<UserEvent, ConnectError, undefined> {
  if (!(first instanceof ConnectError)) {
    const { cursor, revision } = first;
    onStatus?.({ state: "live", cursor, revision, resumedFrom: place.cursor || undefined });
  }
  for (let received = first; ; received = await stream.receive()) {
    if (received instanceof ConnectError) return received;
    // A server that repeats itself is not believed. Revisions can be compared across streams: each resumes from
    // a cursor of the one before, and the server refuses those of another database.
    if (received.revision < place.revision) continue;
    if (received.type !== "progress" && received.revision > place.revision) yield received;
    place.revision = received.revision;
    if (received.cursor !== place.cursor) {
      place.cursor = received.cursor;
      await store?.save(received.cursor);
    }
  }
}

function hasAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function toRequest(options: FollowOptions, cursor: string, progressIntervalMs: number) {
  return {
    afterCursor: cursor,
    start: options.start === "earliest" ? UserEventsRequest_Start.EARLIEST : UserEventsRequest_Start.NOW,
    types: [...(options.types ?? [])],
    userIds: [...(options.userIds ?? [])],
    progressInterval: durationFromMs(progressIntervalMs),
  };
}
