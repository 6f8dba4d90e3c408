import { Code, ConnectError } from "@connectrpc/connect";
import { type Awaited, createPatience } from "./patience.ts";

/** Somebody who sends the body of a request, and may stop in the middle. */
export interface Sender extends Awaited {
  /** How much has come; undefined where no more is expected now, as while nobody reads. */
  readonly progress: number | undefined;
  /** Ends the request: what is left of it is waited for no longer. */
  giveUp(error: ConnectError): void;
}

/** Watches senders while the rest of what they send is waited for. */
export interface BodyWatch {
  waiting(sender: Sender): void;
  /** All has come, or nobody waits for it any more. */
  arrived(sender: Sender): void;
  /** How many have been given up. */
  readonly givenUp: number;
  close(): void;
}

/** Creates a watch that gives up whoever sends nothing for `timeoutMs`. */
export function createBodyWatch(timeoutMs: number): BodyWatch {
  const patience = createPatience<Sender>({
    timeoutMs,
    progressOf: (sender) => sender.progress,
    giveUp: (sender) => sender.giveUp(pausedTooLong(timeoutMs)),
  });
  return {
    waiting: patience.waiting,
    arrived: patience.done,
    get givenUp() {
      return patience.givenUp;
    },
    close: patience.close,
  };
}

function pausedTooLong(timeoutMs: number): ConnectError {
  return new ConnectError(
    `nothing of the request's body has come for ${timeoutMs} ms: send it again, without a pause`,
    Code.DeadlineExceeded,
  );
}
