import type { PostgresQueryResult } from "kysely";
import type { PoolClient } from "pg";
import { AnswerGivenUpError, CallerLeftError } from "./caller-left.ts";
import type { CallerWatch, WatchedForCaller } from "./caller-watch.ts";
import { currentWork, type Work } from "./current-work.ts";
import type { Cancellation, QueryCanceller } from "./query-canceller.ts";
import type { ObserveQuery } from "./query-observer.ts";
import type { Turns } from "./turns.ts";

/** What watches over the sessions of a pool. */
export interface SessionGuards {
  /** A turn is given back with each release. */
  readonly turns: Turns;
  readonly watch: CallerWatch;
  readonly canceller: QueryCanceller;
  readonly observeQuery: ObserveQuery | undefined;
}

/** A cancelled statement that has not ended by then is of a server that is frozen or cannot be reached. */
const giveUpAfterMs = 2_000;

/** SQLSTATE query_canceled. */
const cancelled = "57014";

type Answer<Row> = Promise<PostgresQueryResult<Row>>;

/**
 * A session of PostgreSQL that does nothing for callers who have left. What it does when its caller leaves is cancelled;
 * where that does not help, its connection is destroyed, so that the pool can have another.
 *
 * It is watched itself, not each of its statements, of which there is one at a time: nothing is made for one.
 */
export class WatchedSession implements WatchedForCaller {
  caller: Work["caller"] | undefined;
  readonly #client: PoolClient;
  readonly #guards: SessionGuards;
  #isEnding = false;
  #isLeft = false;
  #isGivenUp = false;
  #cancellation: Cancellation | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(client: PoolClient, guards: SessionGuards) {
    this.#client = client;
    this.#guards = guards;
  }

  /** @throws CallerLeftError, AnswerGivenUpError, the database's error */
  query<Row>(sql: string, parameters: readonly unknown[]): Answer<Row> {
    const work = currentWork();
    return work === undefined && this.#guards.observeQuery === undefined
      ? this.#send(sql, parameters)
      : this.#sendFor(work, sql, parameters);
  }

  release(destroy?: boolean): void {
    this.#client.release(destroy === true || this.#isGivenUp);
    this.#guards.turns.giveBack();
  }

  onLeft(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    // The end of a transaction is not cancelled: whoever asked must be able to tell what has become of it.
    if (!this.#isEnding) this.#cancellation = this.#guards.canceller.request(this.#client);
    this.#timer = setTimeout(() => this.giveUp(), giveUpAfterMs).unref();
  }

  /** Destroys its connection: what is under way fails. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#client.connection.stream.destroy();
  }

  async #sendFor<Row>(work: Work | undefined, sql: string, parameters: readonly unknown[]): Answer<Row> {
    if (work?.caller.aborted && sql !== "rollback") throw new CallerLeftError();
    const tellEnd = this.#guards.observeQuery?.({ sql, work });
    if (work !== undefined) this.#watch(work, sql);
    try {
      const result = await this.#send<Row>(sql, parameters);
      tellEnd?.();
      return result;
    } catch (error) {
      const failure = this.#explain(error);
      tellEnd?.(failure);
      throw failure;
    } finally {
      this.caller = undefined;
      if (this.#isLeft) await this.#settle();
    }
  }

  #send<Row>(sql: string, parameters: readonly unknown[]): Answer<Row> {
    return this.#client.query(sql, parameters as unknown[]) as unknown as Answer<Row>;
  }

  #watch({ caller }: Work, sql: string): void {
    this.caller = caller;
    this.#isEnding = sql === "commit" || sql === "rollback";
    this.#guards.watch.wake();
  }

  /** What it has failed with, in the terms of those who wait for it. */
  #explain(error: unknown): unknown {
    if (this.#isGivenUp) return new AnswerGivenUpError({ cause: error });
    const isCancelled = error instanceof Error && "code" in error && error.code === cancelled;
    return isCancelled && this.caller?.aborted ? new CallerLeftError({ cause: error }) : error;
  }

  /** Waits until nothing that was done about a statement can hit the next one. */
  async #settle(): Promise<void> {
    clearTimeout(this.#timer);
    const cancellation = this.#cancellation;
    this.#cancellation = undefined;
    this.#isLeft = false;
    if (cancellation !== undefined && !(await this.#guards.canceller.settle(cancellation))) this.giveUp();
  }
}
