import type { TestContext } from "node:test";
import type { UserEvent } from "../../gen/users/v1/users_pb.ts";
import {
  type FollowOptions,
  type FollowStatus,
  followUserEvents,
} from "../../src/client/follow-user-events.ts";
import type { UserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { cleanUpAfter } from "../support/clean-up.ts";
import { withDeadline } from "../support/with-deadline.ts";

/** A loop over followed events, and all that it has seen. */
export interface Follower {
  readonly events: readonly UserEvent[];
  readonly statuses: readonly FollowStatus[];
  /** Waits until what it has seen fulfils a condition. @throws what ended the loop instead */
  until(what: string, condition: (seen: Follower) => boolean): Promise<void>;
  usernames(): string[];
  states(): string[];
  /** Aborts the signal and waits for the loop to end. @throws what it ended with */
  stop(): Promise<void>;
}

/** Follows with short waits until the test ends. */
export function startFollower(
  t: TestContext,
  client: UserBridgeClient,
  options: Omit<FollowOptions, "signal" | "onStatus"> = {},
): Follower {
  const events: UserEvent[] = [];
  const statuses: FollowStatus[] = [];
  const stopping = new AbortController();
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };

  async function run(): Promise<void> {
    const followed = followUserEvents(client, {
      reconnect: { firstMs: 20, longestMs: 200 },
      ...options,
      signal: stopping.signal,
      onStatus: (status) => {
        statuses.push(status);
        wake();
      },
    });
    for await (const event of followed) {
      events.push(event);
      wake();
    }
  }
  const running = run();
  // Whoever waits hears of it; a follower that nobody waits for any more may fail as it likes.
  running.catch(() => {});
  cleanUpAfter(t, () => stopping.abort());

  const follower: Follower = {
    events,
    statuses,
    until(what, condition) {
      const met = new Promise<void>((resolve) => {
        const look = () => {
          if (!condition(follower)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
      const ended = running.then(() => Promise.reject(new Error(`the loop ended before ${what}`)));
      return withDeadline(what, Promise.race([met, ended]));
    },
    usernames: () => events.map((event) => event.payload?.username ?? ""),
    states: () => statuses.map((status) => status.state),
    async stop() {
      stopping.abort();
      await withDeadline("the loop to end", running);
    },
  };
  return follower;
}
