import { type RawBuilder, sql } from "kysely";
import type { Transaction } from "../schema.ts";
import type { WriteEntry, WriteRecord } from "./write-record.ts";

/** A record as JSON. */
export interface RecordColumns {
  readonly origin: number;
  readonly recorded_at: string;
  readonly subject: string;
  readonly request_id: string;
  /** Bytes are in base64. */
  readonly key_hash: string | undefined;
  readonly request_mac: string | undefined;
  readonly sealed_answer: string | undefined;
}

/**
 * Records as rows of JSON, to be inserted by a statement that has a relation `record` of them. What the calls of one
 * caller have in common is told once: most of what an entry costs the database is to read it.
 */
export class RecordRows {
  readonly #places = new Map<string, number>();
  readonly #origins: object[] = [];
  #isKeyed = false;

  /** Adds a record. @returns its columns */
  add({ audit, answer }: WriteRecord): RecordColumns {
    if (answer !== undefined) this.#isKeyed = true;
    return {
      origin: this.#placeOf(audit),
      recorded_at: audit.occurredAt.toISOString(),
      subject: audit.subject,
      request_id: audit.requestId,
      key_hash: answer?.keyHash.toString("base64"),
      request_mac: answer?.requestMac.toString("base64"),
      sealed_answer: answer?.sealedAnswer.toString("base64"),
    };
  }

  /** Whether an answer is to be kept with any of those that have been added. */
  get isKeyed(): boolean {
    return this.#isKeyed;
  }

  /** SQL for the columns and their types, as `json_to_recordset` wants them told. */
  get columns(): RawBuilder<unknown> {
    return sql`origin integer, recorded_at timestamptz, subject text, request_id text ${
      this.#isKeyed ? sql`, key_hash text, request_mac text, sealed_answer text` : sql``
    }`;
  }

  /** SQL for the names of those columns that hold answers, behind a comma. */
  get keyColumns(): RawBuilder<unknown> {
    return this.#isKeyed ? sql`, key_hash, request_mac, sealed_answer` : sql``;
  }

  /**
   * SQL that inserts the answers, one row for each. In one order, so that two writers do not deadlock.
   *
   * It fails where another answer is kept under the same key, for which it waits if need be.
   */
  get insertAnswers(): RawBuilder<unknown> {
    if (!this.#isKeyed) return sql`select where false`;
    return sql`
      insert into idempotency_keys (key_hash, request_mac, sealed_answer, created_at)
      select decode(key_hash, 'base64'), decode(request_mac, 'base64'), decode(sealed_answer, 'base64'), recorded_at
      from record where key_hash is not null order by key_hash
      returning 1`;
  }

  /** SQL that inserts the entries of the audit log, one row for each. To be asked for when all have been added. */
  get insertEntries(): RawBuilder<unknown> {
    return sql`
      insert into audit_log
        (occurred_at, actor, credential, procedure, subject, outcome, reason, address, request_id)
      select recorded_at, actor, credential, procedure, subject, 'OK', '', address, request_id
      from record join json_to_recordset(${JSON.stringify(this.#origins)}::json)
        as shared(origin integer, actor text, credential text, procedure text, address text) using (origin)
      returning 1`;
  }

  #placeOf({ actor, credential, procedure, address }: WriteEntry): number {
    const name = `${actor}\0${credential}\0${procedure}\0${address}`;
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const origin = this.#origins.length;
    this.#places.set(name, origin);
    this.#origins.push({ origin, actor, credential, procedure, address });
    return origin;
  }
}

/** Keeps a record, as the last thing of its transaction. */
export async function insertRecord(transaction: Transaction, record: WriteRecord): Promise<void> {
  const rows = new RecordRows();
  const given = JSON.stringify([rows.add(record)]);
  await sql`
    with record as materialized (
      select * from json_to_recordset(${given}::json) as given(${rows.columns})
    ), kept as (
      ${rows.insertAnswers}
    )
    ${rows.insertEntries}`.execute(transaction);
}
