import { LRUCache } from "lru-cache";
import type { LoggedEvent } from "../events/event.ts";
import { followLog } from "../events/event-follower.ts";
import type { EventTailer } from "../events/event-tailer.ts";
import { runDetached } from "../platform/current-work.ts";
import { withDatabaseDeadline } from "../platform/database-deadline.ts";
import type { Logger } from "../platform/logger.ts";
import type { AccountService } from "../users/account.service.ts";
import { UserNotFoundError } from "../users/user.errors.ts";

/** What decides whether an account's tokens are good, and whose they are. An account that is gone is not active. */
export interface AccountState {
  readonly email: string;
  /** Empty until one is set. */
  readonly username: string;
  readonly isActive: boolean;
  readonly isSuperuser: boolean;
  readonly tokenEpoch: number;
}

/** The state of accounts, from memory where the event log vouches for it. */
export interface AccountWatch {
  /**
   * The state as it was at most a second ago; undefined where the database has to be asked. Until something happens to
   * the account it is the same object.
   */
  peek(id: string): AccountState | undefined;
  /** Asks the database. Concurrent callers share queries. @throws the database's error */
  load(id: string): Promise<AccountState>;
  close(): Promise<void>;
}

/** What a watch is made of. */
export interface AccountWatchDependencies {
  readonly tailer: EventTailer;
  readonly accounts: Pick<AccountService, "get">;
  readonly logger: Logger;
  /** How many accounts are kept. */
  readonly capacity?: number;
  /** After this long without a question, the log is no longer followed and nothing is kept. */
  readonly idleMs?: number;
}

/** A change is seen within this time after its commit, or the database is asked. */
const trustedMs = 1_000;
/** Leaves a read of the log six tenths of a second before the memory is no longer trusted. */
const followIntervalMs = 400;

/** An account that changes all the time is answered for as it was found the last time. */
const maxLoads = 3;

const gone: AccountState = { email: "", username: "", isActive: false, isSuperuser: false, tokenEpoch: -1 };

/**
 * Creates a watch. A state is kept only if no event of its account was heard while it was loaded, and dropped with
 * the next one; an event is in the log as soon as its change is, so a state in memory is as old as the log's last
 * read, at most.
 */
export function createAccountWatch({
  tailer,
  accounts,
  logger,
  capacity = 50_000,
  idleMs = 60_000,
}: AccountWatchDependencies): AccountWatch {
  const known = new LRUCache<string, AccountState>({ max: capacity });
  const loading = new LoadsUnderWay();
  /** Rises whenever events may have been missed; undefined while the log is not followed. */
  let period: number | undefined;
  let periods = 0;
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let askedAt = performance.now();
  let isClosed = false;
  let following: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  function forgetAll(): void {
    period = undefined;
    confirmedAt = Number.NEGATIVE_INFINITY;
    known.clear();
  }

  const listener = {
    begin() {
      forgetAll();
      period = ++periods;
    },
    hear(events: readonly LoggedEvent[]) {
      for (const { user } of events) {
        known.delete(user.id);
        loading.disturb(user.id);
      }
    },
    confirm(readAtMs: number) {
      confirmedAt = readAtMs;
      if (performance.now() - askedAt > idleMs) following?.stop.abort();
    },
  };

  function follow(): void {
    if (following !== undefined || isClosed) return;
    const stop = new AbortController();
    const ended = runDetached(() =>
      followLog(tailer, listener, stop.signal, { intervalMs: followIntervalMs }),
    )
      .catch((error) => logger.error({ err: error }, "accounts are looked up each time for now"))
      .finally(() => {
        following = undefined;
        forgetAll();
      });
    following = { stop, ended };
  }

  return {
    peek(id) {
      const now = performance.now();
      askedAt = now;
      return now - confirmedAt < trustedMs ? known.get(id) : undefined;
    },
    async load(id) {
      askedAt = performance.now();
      follow();
      for (let attempt = 1; ; attempt++) {
        const periodBefore = period;
        const load = loading.begin(id);
        try {
          const state = await getState(accounts, id);
          if (load.isUndisturbed()) {
            if (period !== undefined && period === periodBefore) known.set(id, state);
            return state;
          }
          if (attempt === maxLoads) return state;
        } finally {
          load.end();
        }
      }
    },
    async close() {
      isClosed = true;
      following?.stop.abort();
      await following?.ended;
    },
  };
}

async function getState(accounts: Pick<AccountService, "get">, id: string): Promise<AccountState> {
  try {
    const { email, username, isActive, isSuperuser, tokenEpoch } = await withDatabaseDeadline(() =>
      accounts.get(id),
    );
    return { email, username, isActive, isSuperuser, tokenEpoch };
  } catch (error) {
    if (error instanceof UserNotFoundError) return gone;
    throw error;
  }
}

/** Which accounts are being loaded, and whether anything happened to them meanwhile. */
class LoadsUnderWay {
  readonly #byId = new Map<string, { loads: number; events: number }>();

  begin(id: string): { isUndisturbed(): boolean; end(): void } {
    const entry = this.#byId.get(id) ?? { loads: 0, events: 0 };
    this.#byId.set(id, entry);
    entry.loads += 1;
    const eventsBefore = entry.events;
    return {
      isUndisturbed: () => entry.events === eventsBefore,
      end: () => {
        entry.loads -= 1;
        if (entry.loads === 0) this.#byId.delete(id);
      },
    };
  }

  disturb(id: string): void {
    const entry = this.#byId.get(id);
    if (entry !== undefined) entry.events += 1;
  }
}
