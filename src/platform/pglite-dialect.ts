import type { PGlite } from "@electric-sql/pglite";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from "kysely";
import { CallerLeftError } from "./caller-left.ts";
import { currentWork } from "./current-work.ts";
import { type DiskSpace, readOnlySettings } from "./disk-space.ts";
import type { ObserveQuery } from "./query-observer.ts";
import type { Turns } from "./turns.ts";

/**
 * Kysely on an embedded Postgres that has one session.
 *
 * Kysely's own PGlite dialect hands that one session to everybody at once, so a query beside an open
 * transaction runs inside it and two transactions end each other. Here whoever acquires the session has it
 * alone until it is released; the others wait in order.
 *
 * A statement that runs cannot be cancelled: it has the only thread there is. For callers who have left, none is begun.
 *
 * While the disk is all but full, the session takes no writes: see {@link DiskSpace}.
 *
 * @param turns one at a time
 */
export function createPgliteDialect(
  pglite: PGlite,
  turns: Turns,
  space: DiskSpace,
  observeQuery?: ObserveQuery,
): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new PgliteDriver(pglite, turns, space, observeQuery),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

class PgliteDriver implements Driver {
  readonly #pglite: PGlite;
  readonly #connection: DatabaseConnection;
  readonly #turns: Turns;
  readonly #space: DiskSpace;

  constructor(pglite: PGlite, turns: Turns, space: DiskSpace, observeQuery: ObserveQuery | undefined) {
    this.#pglite = pglite;
    this.#connection = new PgliteConnection(pglite, space, observeQuery);
    this.#turns = turns;
    this.#space = space;
  }

  async init(): Promise<void> {
    await this.#pglite.waitReady;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#turns.take(currentWork());
    try {
      const isShort = this.#space.findChange();
      if (isShort !== undefined) await this.#pglite.query(readOnlySettings[`${isShort}`]);
    } catch (error) {
      this.#turns.giveBack();
      throw error;
    }
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#turns.giveBack();
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const isolation =
      settings.isolationLevel === undefined ? "" : ` isolation level ${settings.isolationLevel}`;
    await connection.executeQuery(CompiledQuery.raw(`begin${isolation}`));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("rollback"));
  }

  async destroy(): Promise<void> {
    await this.#pglite.close();
  }
}

class PgliteConnection implements DatabaseConnection {
  readonly #pglite: PGlite;
  readonly #space: DiskSpace;
  readonly #observeQuery: ObserveQuery | undefined;

  constructor(pglite: PGlite, space: DiskSpace, observeQuery: ObserveQuery | undefined) {
    this.#pglite = pglite;
    this.#space = space;
    this.#observeQuery = observeQuery;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const work = currentWork();
    if (work?.caller.aborted && sql !== "rollback") throw new CallerLeftError();
    const tellEnd = this.#observeQuery?.({ sql, work });
    try {
      const { rows, affectedRows } = await this.#pglite.query<R>(sql, [...parameters]);
      tellEnd?.();
      return { rows, ...(affectedRows !== undefined && { numAffectedRows: BigInt(affectedRows) }) };
    } catch (error) {
      tellEnd?.(error);
      throw this.#space.explain(error);
    }
  }

  // biome-ignore lint/correctness/useYield: the interface asks for it, nothing here streams
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("the embedded database cannot stream a query");
  }
}
