import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UserEvent, UserEventsRequestSchema } from "../../gen/users/v1/users_pb.ts";
import { toCallError } from "./connection-failure.ts";
import type { UserBridgeClient } from "./user-bridge-client.ts";

/** One stream, from its call to its end. */
export interface UserEventStream {
  /** The next message, or what ended the stream: its end, too, since a stream of events has none. */
  receive(): Promise<UserEvent | ConnectError>;
  /** Leaves the stream. Connect's own iterators go on in secret when they are merely left. */
  close(): void;
}

/** The first message also waits for the connection: less would never be live on a slow one. */
const shortestOpeningMs = 5_000;

/**
 * Opens a stream that counts as dead when no message comes for `patienceMs`. The time runs only while
 * somebody waits for a message: a consumer may take its time.
 */
export function openUserEventStream(
  client: UserBridgeClient,
  request: MessageInitShape<typeof UserEventsRequestSchema>,
  patienceMs: number,
  signal: AbortSignal | undefined,
): UserEventStream {
  const leaving = new AbortController();
  const leave = () => leaving.abort(signal?.reason);
  signal?.addEventListener("abort", leave);
  if (signal?.aborted === true) leave();
  let limitMs = Math.max(patienceMs, shortestOpeningMs);
  const messages = client.streamUserEvents(request, { signal: leaving.signal })[Symbol.asyncIterator]();

  return {
    async receive() {
      const timer = setTimeout(() => leaving.abort(silentError(limitMs)), limitMs);
      try {
        const result = await untilAborted(messages.next(), leaving.signal);
        return result.done === true
          ? new ConnectError("the server ended the stream", Code.Unavailable)
          : result.value;
      } catch (failure) {
        return toCallError(leaving.signal.aborted ? leaving.signal.reason : failure, leaving.signal);
      } finally {
        clearTimeout(timer);
        limitMs = patienceMs;
      }
    },
    close() {
      signal?.removeEventListener("abort", leave);
      leaving.abort();
    },
  };
}

function silentError(limitMs: number): ConnectError {
  return new ConnectError(`the stream was silent for ${limitMs} ms`, Code.Unavailable);
}

/** A transport that is still connecting does not always listen to the signal. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  });
}
