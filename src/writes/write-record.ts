import type { CallerState } from "../platform/batcher.ts";

/** What is kept with a write, in its own transaction: it exists if and only if the write does. */
export interface WriteRecord {
  readonly audit: WriteEntry;
  /** The answer that a repetition gets; undefined where the caller gave no idempotency key. */
  readonly answer: KeptAnswer | undefined;
}

/** Who did what: an entry of the audit log that has no place in it yet. Nothing in it is secret. */
export interface WriteEntry {
  readonly occurredAt: Date;
  readonly actor: string;
  readonly credential: string;
  readonly procedure: string;
  readonly subject: string;
  readonly address: string;
  readonly requestId: string;
}

/** The same of what was done or refused. */
export interface AuditDraft extends WriteEntry {
  /** `OK`, or the status of a refusal. */
  readonly outcome: string;
  readonly reason: string;
}

/**
 * The answer to a call with an idempotency key. The key itself is not kept, and without it the answer cannot be read
 * nor the request guessed: both are under keys that are derived from it.
 */
export interface KeptAnswer {
  /** SHA-256 of the caller and the idempotency key. */
  readonly keyHash: Buffer;
  /** Tells the procedure and the request apart from others. */
  readonly requestMac: Buffer;
  readonly sealedAnswer: Buffer;
}

/**
 * For whom a write is made. A service hands it on to whatever makes the transaction, which asks for the record when
 * the result is known and keeps both together.
 *
 * Whoever keeps no record (background work, a bare AbortSignal) can be one, too.
 */
export interface WriteCaller<Result> extends CallerState {
  /** The answer's, where one is to be kept: told beforehand, so that a repetition can be recognised. */
  readonly keyHash?: Buffer | undefined;
  /** Called in the transaction, once in each attempt at it. */
  readonly record?: (result: Result) => WriteRecord;
}

/** The same caller for a write whose result is something else, of which the caller's result can be made. */
export function mapCaller<Inner, Outer>(
  caller: WriteCaller<Outer> | undefined,
  toOuter: (inner: Inner) => Outer,
): WriteCaller<Inner> | undefined {
  if (caller?.record === undefined) {
    const state: CallerState | undefined = caller;
    return state;
  }
  const { record } = caller;
  return new RecordingCaller(caller, (inner) => record(toOuter(inner)), caller.keyHash);
}

/** A caller who keeps a record, and whose state is another's. */
export class RecordingCaller<Result> implements WriteCaller<Result> {
  readonly record: (result: Result) => WriteRecord;
  readonly keyHash: Buffer | undefined;
  readonly #state: CallerState;

  constructor(state: CallerState, record: (result: Result) => WriteRecord, keyHash: Buffer | undefined) {
    this.#state = state;
    this.record = record;
    this.keyHash = keyHash;
  }

  get aborted(): boolean {
    return this.#state.aborted;
  }

  get reason(): unknown {
    return this.#state.reason;
  }
}
